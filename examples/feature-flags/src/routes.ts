import { Effect, Option } from "effect"
import { HttpRouter, HttpServerResponse } from "effect/http"
import type { KafkaTable } from "effect-ktables"
import { Flags } from "./flags.ts"

/** Ready as long as the answers come from a complete table, even while Kafka cannot be reached. */
const isReady = ({ status }: KafkaTable.Health) => status._tag === "CaughtUp" || status._tag === "Rebuilding"

export const routes = HttpRouter.use(
  Effect.fnUntraced(function* (router) {
    const table = yield* Flags

    // A read is a look-up in memory, so every request can ask again: no cache, nothing to invalidate.
    yield* router.add(
      "GET",
      "/greeting",
      Effect.gen(function* () {
        const flag = yield* table.get("new-greeting")
        const isEnabled = Option.match(flag, { onNone: () => false, onSome: ({ enabled }) => enabled })
        return HttpServerResponse.text(isEnabled ? "Welcome!" : "Hello.")
      })
    )

    yield* router.add(
      "GET",
      "/health",
      Effect.gen(function* () {
        const health = yield* table.health
        const body = {
          status: health.status._tag,
          flags: health.stats.entries,
          partitions: health.partitions.map(({ connected, lag, partition }) => ({ partition, connected, lag }))
        }
        return HttpServerResponse.jsonUnsafe(body, { status: isReady(health) ? 200 : 503 })
      })
    )
  })
)
