/** `past apple 2026-05-01T12:00:00Z`: what an article cost then, who has changed that since and before, and what else is other now. */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { Console, Effect, Option, Stream } from "effect"
import { KafkaTable, Table } from "effect-ktables"
import { goods, kafka } from "./shop.ts"

const [article = "apple", moment = new Date().toISOString()] = process.argv.slice(2)

const then = Effect.gen(function* () {
  const past = yield* KafkaTable.at(goods, new Date(moment))
  const price = Option.match(yield* past.get(article), {
    onNone: () =>
      past.isComplete ? "was not for sale" : "is not known: its records of that time may be compacted away",
    onSome: ({ price }) => `cost ${price}`
  })
  yield* Console.log(`${article} ${price}`)
  const changed = yield* Table.diff(past, yield* KafkaTable.make(goods))
  yield* Console.log(`changed since: ${(yield* changed.keys).toSorted().join(", ") || "nothing"}`)
}).pipe(Effect.scoped)

const text = (bytes: Uint8Array | null | undefined): string => (bytes ? new TextDecoder().decode(bytes) : "somebody")

const who = KafkaTable.history(goods, article).pipe(
  Stream.runForEach((item) => {
    if (item._tag === "End") {
      const since = item.completeFrom === 0 ? "the beginning" : `offset ${item.completeFrom}`
      return Console.log(`that is all since ${since}`)
    }
    const by = text(item.headers.find(({ key }) => key === "by")?.value)
    const what = item._tag === "Set" ? `set to ${item.value.price}` : item._tag === "Deleted" ? "deleted" : "unreadable"
    return Console.log(`${new Date(item.timestamp).toISOString()} ${what} by ${by}`)
  })
)

Effect.andThen(then, who).pipe(Effect.provide(kafka), NodeRuntime.runMain)
