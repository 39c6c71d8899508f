/**
 * Writes the answers of a broker to every exchange into a fixture:
 * `node --conditions=source capture.ts HOST:PORT RELEASE`, against a broker that runs that release of Kafka alone.
 */
import { Effect } from "effect"
import * as fs from "node:fs"
import { runExchanges } from "./support/runExchanges.ts"
import { socketTransport } from "./support/socketTransport.ts"

const [broker, release] = process.argv.slice(2)
if (broker === undefined || release === undefined) throw new Error("usage: capture.ts HOST:PORT RELEASE")

let last = Buffer.alloc(0)
const answers: Record<string, string> = {}
const highest: Record<string, number> = {}

const transport = socketTransport([broker], (_request, body) => {
  last = Buffer.from(body)
})
const program = runExchanges(transport, `exchange-${process.pid}`, ({ api, name }) => {
  answers[name] = last.toString("base64")
  highest[api.key] = 0
})
const place = await Effect.runPromise(Effect.scoped(program))
for (const key of Object.keys(highest)) highest[key] = place.highest(Number(key))

const file = new URL(`fixtures/kafka-${release}.json`, import.meta.url)
fs.writeFileSync(
  file,
  `${JSON.stringify({ release, prefix: place.prefix, topicId: place.topicId, highest, answers }, undefined, 2)}\n`
)
