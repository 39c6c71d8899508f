/** Topics as tables over HTTP, with the live page, until Ctrl-C. */
import * as TableHttp from "@effect-ktables/http/TableHttp"
import * as TableServer from "@effect-ktables/http/TableServer"
import { Context, Effect, Layer } from "effect"
import { Codec, KafkaTable, TableTopic } from "effect-ktables"
import * as HttpServer from "effect/http/HttpServer"
import { failed, fromError } from "../failure.ts"
import { writeLines } from "../output.ts"
import { millisOf, type Settings } from "../settings.ts"
import { writerOf } from "../writing.ts"

/** Keys are text, as URLs want it; values are shown as what they are: JSON, text, or base64. */
const served = (name: string) => TableTopic.make({ name, key: Codec.string, value: Codec.bytes })

/** A table that catches up while it is served, and what it ends with. */
const tableOf = Effect.fnUntraced(function* (settings: Settings, name: string, isWritable: boolean) {
  const topic = served(name)
  const table = yield* KafkaTable.make(topic, {
    catchUp: { mode: "background" },
    ensureTopic: false,
    startTimeout: millisOf(settings)
  }).pipe(Effect.mapError(fromError))
  const writer = isWritable ? yield* writerOf(settings, topic) : undefined
  return { table, served: TableHttp.served(topic, table, { writer, history: (key) => KafkaTable.history(topic, key) }) }
})

const whyNot = (host: string, port: number, cause: unknown): string => {
  const code = (cause as NodeJS.ErrnoException | undefined)?.code
  const at = `${host}:${port}`
  switch (code) {
    case "EADDRINUSE":
      return `${at} is taken by another process; --port gives another, 0 any that is free`
    case "EACCES":
      return `${at} may not be listened at by this user; --port gives another`
    case "EADDRNOTAVAIL":
    case "ENOTFOUND":
      return `${host} is no address of this machine; --host gives another`
    default:
      return `nothing can listen at ${at}: ${cause instanceof Error ? cause.message : String(cause)}`
  }
}

interface Input {
  readonly topics: ReadonlyArray<string>
  readonly port: number
  readonly host: string
  readonly allowedHosts: ReadonlyArray<string>
  readonly writable: boolean
}

const isBinary = (name: Settings["key"]): boolean => name === "bytes" || name === "hex"

/** URLs have keys as text, and clients are given values as what they are. */
export const check = ({ key, value }: Settings) => {
  if (isBinary(key)) {
    return Effect.fail(failed("usage", `serve shows keys as text, and no others: leave out --key ${key}`))
  }
  return isBinary(value)
    ? Effect.fail(
        failed("usage", `serve shows values as what they are, JSON, text or base64: leave out --value ${value}`)
      )
    : Effect.void
}

export const run = Effect.fnUntraced(function* (settings: Settings, input: Input) {
  const { allowedHosts, host, port, topics, writable } = input
  const all = yield* Effect.forEach([...new Set(topics)], (name) => tableOf(settings, name, writable), {
    concurrency: "unbounded"
  })
  const tables = all.map(({ served }) => served)
  const { address } = yield* Layer.build(
    TableServer.layer({ tables, host, port, hosts: [host, ...allowedHosts] })
  ).pipe(
    Effect.mapError(({ cause }) => failed("failed", whyNot(host, port, cause))),
    Effect.map(Context.get(HttpServer.HttpServer))
  )
  yield* writeLines([`serving ${topics.join(", ")} at ${HttpServer.formatAddress(address)}`])
  return yield* Effect.raceAllFirst(all.map(({ table }) => Effect.mapError(table.failure, fromError)))
})
