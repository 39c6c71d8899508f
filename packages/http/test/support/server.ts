/** Servers of tables on the embedded Kafka, at real sockets. */
import { Context, Effect, Layer, Schema, type Scope } from "effect"
import { KafkaTable, KafkaTableWriter, TableTopic } from "effect-ktables"
import * as NetAddress from "effect/net/NetAddress"
import { HttpServer } from "effect/http"
import * as TableServer from "../../src/TableServer.ts"

export const Price = Schema.Struct({ amount: Schema.Finite, note: Schema.optionalKey(Schema.String) })

export const prices = TableTopic.make({ name: "prices", key: Schema.String, value: Price })

/** Serves tables at a port that is free, and succeeds with where that is. */
export const serve = <R>(options: TableServer.Options<R>): Effect.Effect<string, never, Scope.Scope | R> =>
  Effect.gen(function* () {
    const context = yield* Effect.orDie(Layer.build(TableServer.layer({ port: 0, ...options })))
    return NetAddress.formatUrlUnsafe(Context.get(context, HttpServer.HttpServer).address)
  })

export const tableAndWriter = Effect.gen(function* () {
  const table = yield* KafkaTable.make(prices, { ensureTopic: { create: true } })
  const writer = yield* KafkaTableWriter.make(prices)
  return { table, writer }
})

export interface Answer {
  readonly status: number
  readonly headers: Headers
  readonly text: string
  // oxlint-disable-next-line typescript/no-explicit-any
  readonly json: any
}

/** A request, and the whole of its answer. */
export const ask = (url: string, init?: RequestInit): Effect.Effect<Answer> =>
  Effect.promise(async (signal) => {
    const response = await fetch(url, { redirect: "manual", ...init, signal })
    const text = await response.text()
    const isJson = response.headers.get("content-type")?.startsWith("application/json") === true
    return { status: response.status, headers: response.headers, text, json: isJson ? JSON.parse(text) : undefined }
  })
