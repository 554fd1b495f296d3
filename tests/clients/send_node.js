// Send the calls of calls.json, then numbered ones, with a Node client as it is installed.
//
//     node send_node.js {segment,rudder} URL KEY N_MORE {gzip,plain}

"use strict";

const fs = require("node:fs");
const path = require("node:path");

const [library, url, key, nMore, encoding] = process.argv.slice(2);
const calls = JSON.parse(fs.readFileSync(path.join(__dirname, "calls.json"), "utf8"));
for (let i = 0; i < Number(nMore); i++) {
  calls.push({ type: "track", userId: "u1", event: "Step", properties: { n: 100 + i } });
}

async function sendSegment() {
  const { Analytics } = require("@segment/analytics-node");
  const client = new Analytics({ writeKey: key, host: url, maxEventsInBatch: 10, flushInterval: 50 });
  const failed = [];
  client.on("error", (error) => failed.push(String(error.reason || error.code)));
  for (const { type, ...call } of calls) {
    if (call.userId) call.userId = String(call.userId); // this client takes texts only
    client[type](call);
  }
  await client.closeAndFlush({ timeout: 60000 });
  return failed;
}

async function sendRudder() {
  const Analytics = require("@rudderstack/rudder-sdk-node");
  const client = new Analytics(key, { dataPlaneUrl: url, flushAt: 10, gzip: encoding === "gzip", logLevel: "error" });
  const failed = [];
  const sent = calls.map(
    ({ type, ...call }) =>
      new Promise((resolve) => {
        client[type](call, (error) => {
          if (error) failed.push(String(error));
          resolve();
        });
      }),
  );
  const timer = setInterval(() => client.flush(), 50);
  await Promise.all(sent);
  clearInterval(timer);
  return failed;
}

(library === "segment" ? sendSegment() : sendRudder())
  .catch((error) => [String(error)])
  .then((failed) => {
    if (failed.length) console.error(failed.join("; "));
    process.exit(failed.length ? 1 : 0);
  });
