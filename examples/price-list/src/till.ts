/**
 * A till: `sell apple 3` on its input prints what three apples cost at this moment, `price apple fruit 2.5` sets a price. What
 * is sold after a price was set here has it, however soon; prices that others set show as soon as they are read.
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as NodeStdio from "@effect/platform-node/NodeStdio"
import { Console, Effect, Layer, Option, Stdio, Stream } from "effect"
import { KafkaTable, Table, type WriteAck } from "effect-ktables"
import { Goods, goods, kafka } from "./shop.ts"

interface Order {
  readonly article: string
  readonly count: number
  /** The last price that was set before it. */
  readonly priced: WriteAck.WriteAck | undefined
}

const program = Effect.gen(function* () {
  const writer = yield* Goods
  const { stdin } = yield* Stdio.Stdio
  const articles = yield* KafkaTable.make(goods)
  yield* Console.log("open")

  const orders = stdin.pipe(
    Stream.decodeText,
    Stream.splitLines,
    Stream.mapAccumEffect(
      (): WriteAck.WriteAck | undefined => undefined,
      Effect.fnUntraced(function* (priced, line) {
        const [what, article = "", first = "", second = "0"] = line.split(" ")
        if (what !== "price") return [priced, [{ article, count: Number(first), priced }]] as const
        const ack = yield* writer.set(article, { category: first, price: Number(second) })
        return [ack, new Array<Order>()] as const
      })
    )
  )
  yield* orders.pipe(
    Table.lookup(articles, (order) => order.article, {
      waitFor: ({ priced }) => (priced === undefined ? Effect.void : articles.awaitOffset(priced))
    }),
    // Without it, orders would go on to have the prices of the moment at which the table failed.
    Stream.interruptWhen(articles.failure),
    Stream.runForEach(([{ article, count }, found]) =>
      Console.log(
        Option.match(found, {
          onNone: () => `${article} is not for sale`,
          onSome: ({ price }) => `${count} ${article}: ${count * price}`
        })
      )
    )
  )
})

program.pipe(
  Effect.scoped,
  Effect.provide([Layer.provide(Goods.layer, kafka), kafka, NodeStdio.layer]),
  NodeRuntime.runMain
)
