/**
 * Writes the answers of a broker that throttles its client into a fixture: `node --conditions=source captureThrottled.ts
 * HOST:PORT RELEASE`, against a broker that runs that release of Kafka alone.
 */
import { TestAdmin } from "@effect-ktables/testing"
import { Effect } from "effect"
import * as fs from "node:fs"
import { openBrokerConnection } from "../../src/internal/cluster/brokerConnection.ts"
import { throttledExchanges } from "./support/exchanges.ts"
import { runExchanges, settings } from "./support/runExchanges.ts"
import { clientId, socketTransport } from "./support/socketTransport.ts"

const [broker, release] = process.argv.slice(2)
if (broker === undefined || release === undefined) throw new Error("usage: captureThrottled.ts HOST:PORT RELEASE")

let last = Buffer.alloc(0)
const answers: Record<string, string> = {}
const highest: Record<string, number> = {}
const transport = socketTransport([broker], (_request, body) => {
  last = Buffer.from(body)
})

const program = Effect.gen(function* () {
  const place = yield* runExchanges(transport, `throttled-${process.pid}`, () => {})
  yield* TestAdmin.make([broker]).setClientQuotas({ request_percentage: 0.01 }, clientId)
  const connection = yield* openBrokerConnection(transport, transport.bootstrap[0]!, settings)
  for (const { api, name, request, version } of throttledExchanges) {
    while (true) {
      const { throttle } = yield* connection.call(api, request(place), { maxVersion: version })
      if (throttle > 0) break
    }
    answers[name] = last.toString("base64")
    highest[api.key] = version
  }
  yield* TestAdmin.make([broker]).setClientQuotas({ request_percentage: null }, clientId)
  return place
})

const place = await Effect.runPromise(Effect.scoped(program))
fs.writeFileSync(
  new URL(`fixtures/throttled-${release}.json`, import.meta.url),
  `${JSON.stringify({ release, prefix: place.prefix, topicId: place.topicId, highest, answers }, undefined, 2)}\n`
)
