/** The demo in a browser: writers upgrade, remove and announce packages until Ctrl-C, and a server shows the tables live. */
import * as TableHttp from "@effect-ktables/http/TableHttp"
import * as TableServer from "@effect-ktables/http/TableServer"
import { Console, Effect, Layer, Random, Schedule } from "effect"
import { HttpServer } from "effect/http"
import * as NetAddress from "effect/net/NetAddress"
import { KafkaTable, KafkaTableWriter, Table } from "effect-ktables"
import { readManifests } from "./manifests.ts"
import { packages, upgraded } from "./Package.ts"

const topic = packages("packages")
/** How the derived table is served: under a name of its own, with the same codecs. */
const alone = packages("packages-without-dependencies")

/** Changes one package after the other, each as often as the next: most are upgraded, some removed and announced again. */
const keepWriting = Effect.gen(function* () {
  const writer = yield* KafkaTableWriter.make(topic)
  const manifests = yield* readManifests
  yield* writer.setAll(manifests)
  const present = new Map(manifests)
  const step = Effect.gen(function* () {
    const [name, first] = manifests[yield* Random.nextIntBetween(0, manifests.length)]!
    const current = present.get(name)
    if (current !== undefined && (yield* Random.next) < 0.15) {
      present.delete(name)
      return yield* writer.delete(name)
    }
    const next = current === undefined ? first : upgraded(current)
    present.set(name, next)
    return yield* writer.set(name, next)
  })
  yield* Effect.forkScoped(Effect.repeat(step, Schedule.spaced("150 millis")))
})

const server = (port: number) =>
  Effect.gen(function* () {
    yield* keepWriting
    const table = yield* KafkaTable.make(topic, { ensureTopic: false })
    const derived = yield* table.pipe(Table.filter(({ dependencies }) => dependencies === 0))
    return TableServer.layer({ tables: [TableHttp.served(topic, table), TableHttp.served(alone, derived)], port })
  })

/** Serves the page until it is interrupted, and says where. */
export const page = (port: number) =>
  Layer.launch(
    Layer.effectDiscard(
      Effect.flatMap(HttpServer.HttpServer, ({ address }) =>
        Console.log(`The tables are at ${NetAddress.formatUrlUnsafe(address)} until Ctrl-C.`)
      )
    ).pipe(Layer.provide(Layer.unwrap(server(port))))
  )
