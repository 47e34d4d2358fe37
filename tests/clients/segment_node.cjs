// Segment's client for Node, as its documentation has it: `segment_node.cjs URL KEY`, the calls on stdin.
const { readFileSync } = require("node:fs");
const { Analytics } = require("@segment/analytics-node");

const [host, writeKey] = process.argv.slice(2);
const analytics = new Analytics({ host, writeKey, flushAt: 5 });
analytics.on("error", (error) => {
  console.error(error);
  process.exitCode = 1;
});
for (const { type, ...call } of JSON.parse(readFileSync(0, "utf8"))) {
  if (call.timestamp) call.timestamp = new Date(call.timestamp);
  analytics[type](call);
}
analytics.closeAndFlush();
