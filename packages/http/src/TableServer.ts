/**
 * A server of tables in one layer, on Node.
 *
 * @since 0.1.0
 */
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import type * as Duration from "effect/Duration"
import * as Layer from "effect/Layer"
import * as HttpRouter from "effect/http/HttpRouter"
import type { HttpServer } from "effect/http/HttpServer"
import type { ServeError } from "effect/http/HttpServerError"
import { createServer } from "node:http"
import * as TableHttp from "./TableHttp.ts"

/**
 * Options of a server.
 *
 * @category options
 * @since 0.1.0
 */
export interface Options<out R = never> extends TableHttp.Options<R> {
  /** 0 for any that is free; `HttpServer` has it then. Default: 4180. */
  readonly port?: number | undefined
  /**
   * The address to listen at. Default: `127.0.0.1`, so that only this machine reaches it: put authorization in front of it
   * before you listen elsewhere.
   */
  readonly host?: string | undefined
  /** How long open requests and streams may go on when the scope is closed. Default: 1 second. */
  readonly closeTimeout?: Duration.Input | undefined
}

/**
 * Serves tables until the scope is closed. For TLS, authorization or routes of one's own take `TableHttp.layer`.
 *
 * **Example** (A table at http://127.0.0.1:4180/tables/flags/entries)
 *
 * ```ts
 * import { KafkaJsClient } from "@effect-ktables/kafkajs"
 * import * as TableHttp from "@effect-ktables/http/TableHttp"
 * import * as TableServer from "@effect-ktables/http/TableServer"
 * import { Effect, Layer, Schema } from "effect"
 * import { KafkaTable, KafkaTableWriter, TableTopic } from "effect-ktables"
 *
 * const flags = TableTopic.make({ name: "flags", key: Schema.String, value: Schema.Boolean })
 *
 * export const server = Layer.unwrap(
 *   Effect.gen(function* () {
 *     const table = yield* KafkaTable.make(flags)
 *     const writer = yield* KafkaTableWriter.make(flags)
 *     return TableServer.layer({ tables: [TableHttp.served(flags, table, { writer })] })
 *   })
 * ).pipe(Layer.provide(KafkaJsClient.layer({ brokers: "kafka-1:9092" })))
 *
 * // Effect.runFork(Layer.launch(server))
 * ```
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = <R = never>({
  closeTimeout = "1 second",
  host = "127.0.0.1",
  port = 4180,
  ...options
}: Options<R>): Layer.Layer<HttpServer, ServeError, R> =>
  HttpRouter.serve(TableHttp.layer(options), { disableLogger: true, disableListenLog: true }).pipe(
    Layer.provideMerge(NodeHttpServer.layer(createServer, { host, port, gracefulShutdownTimeout: closeTimeout }))
  ) as unknown as Layer.Layer<HttpServer, ServeError, R>
