// RudderStack's client for Node, as its documentation has it: `rudder_node.cjs URL KEY`, the calls on stdin.
const { readFileSync } = require("node:fs");
const Analytics = require("@rudderstack/rudder-sdk-node");

const [dataPlaneUrl, writeKey] = process.argv.slice(2);
const analytics = new Analytics(writeKey, {
  dataPlaneUrl,
  flushAt: 5,
  errorHandler: (error) => {
    console.error(error);
    process.exitCode = 1;
  },
});
for (const { type, ...call } of JSON.parse(readFileSync(0, "utf8"))) {
  if (call.timestamp) call.timestamp = new Date(call.timestamp);
  analytics[type](call);
}
analytics.flush();
