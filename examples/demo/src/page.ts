/** The demo in a browser: writers upgrade, remove and announce packages until Ctrl-C, and a server shows the tables live. */
import * as TableHttp from "@effect-ktables/http/TableHttp"
import * as TableServer from "@effect-ktables/http/TableServer"
import { Console, Context, Effect, Layer, Random, Schedule } from "effect"
import { HttpServer } from "effect/http"
import * as NetAddress from "effect/net/NetAddress"
import { KafkaTable, KafkaTableWriter, Table } from "effect-ktables"
import { readManifests } from "./manifests.ts"
import { type Package, packages, upgraded } from "./Package.ts"

const topic = packages("packages")
/** How the derived table is served: under a name of its own, with the same codecs. */
const alone = packages("packages-without-dependencies")

/** Changes packages for ever, one after the other: most are upgraded, some removed and announced again. */
const writing = Effect.fnUntraced(function* (
  writer: KafkaTableWriter.KafkaTableWriter<string, Package>,
  manifests: ReadonlyArray<readonly [string, Package]>
) {
  const present = new Map(manifests)
  const step = Effect.gen(function* () {
    // Both ends are possible.
    const [name, first] = manifests[yield* Random.nextIntBetween(0, manifests.length - 1)]!
    const current = present.get(name)
    if (current !== undefined && (yield* Random.next) < 0.15) {
      present.delete(name)
      return yield* writer.delete(name)
    }
    const next = current === undefined ? first : upgraded(current)
    present.set(name, next)
    return yield* writer.set(name, next)
  })
  return yield* Effect.andThen(Effect.repeat(step, Schedule.spaced("150 millis")), Effect.never)
})

/** Serves the page until it is interrupted or a write fails, and says where. */
export const page = Effect.fnUntraced(function* (port: number) {
  const writer = yield* KafkaTableWriter.make(topic)
  const manifests = yield* readManifests
  yield* writer.setAll(manifests)
  const table = yield* KafkaTable.make(topic, { ensureTopic: false })
  const derived = yield* table.pipe(Table.filter(({ dependencies }) => dependencies === 0))
  const server = yield* Layer.build(
    TableServer.layer({
      tables: [
        TableHttp.served(topic, table, { history: (key) => KafkaTable.history(topic, key) }),
        TableHttp.served(alone, derived)
      ],
      port
    })
  )
  const { address } = Context.get(server, HttpServer.HttpServer)
  yield* Console.log(`The tables are at ${NetAddress.formatUrlUnsafe(address)} until Ctrl-C.`)
  return yield* writing(writer, manifests)
}, Effect.scoped)
