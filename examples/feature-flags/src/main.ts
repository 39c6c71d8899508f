/** An HTTP server whose answers depend on flags that anybody may change while it runs. */
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { Config, Layer } from "effect"
import { HttpRouter } from "effect/http"
import { createServer } from "node:http"
import { Flags, kafka } from "./flags.ts"
import { routes } from "./routes.ts"

// The server listens once the table is complete: no request is ever answered from half of the flags.
HttpRouter.serve(routes).pipe(
  Layer.provide(NodeHttpServer.layerConfig(createServer, { port: Config.Int("PORT").pipe(Config.withDefault(3000)) })),
  Layer.provide(Flags.orNew),
  Layer.provide(kafka),
  Layer.launch,
  NodeRuntime.runMain
)
