// Reads [{API group: npm package}, [manifest, …]] on standard input; writes a complaint, or null, for each manifest.
import { readFileSync } from "node:fs";

const [packages, manifests] = JSON.parse(readFileSync(0, "utf8"));

async function complaint(manifest) {
  const name = packages[manifest.apiVersion.split("/")[0]];
  const models = await import(`${name}/${manifest.apiVersion}/${manifest.kind}`);
  try {
    new models[manifest.kind](manifest).validate();
    return null;
  } catch (error) {
    return error.message;
  }
}

process.stdout.write(JSON.stringify(await Promise.all(manifests.map(complaint))));
