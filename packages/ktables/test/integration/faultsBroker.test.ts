/** One broker that is killed, frozen, cut off and emptied under live tables and writers, on both transports at once. */
import { assert, describe, layer } from "@effect/vitest"
import { JavaPeer } from "@effect-ktables/testing/interop"
import { Effect } from "effect"
import { Kafka, kafka } from "./faults/kafka.ts"
import { assertNoSockets, is, scenario } from "./faults/scenario.ts"

const missing = JavaPeer.unavailable()
const because = missing === undefined ? "" : ` (skipped: ${missing})`
const FETCH = 1

describe.skipIf(missing !== undefined)(`one broker under live tables and writers${because}`, () => {
  layer(kafka({ nodes: 1 }), { excludeTestServices: true, timeout: 300_000 })((it) => {
    it.effect("killed with SIGKILL and started again: tables and writers resume, nothing is lost", () =>
      Effect.gen(function* () {
        const { cluster, java } = yield* Kafka
        const [node] = cluster.nodes
        yield* scenario({ cluster, java, name: "killed" }, ({ each, flows }) =>
          Effect.gen(function* () {
            yield* node!.kill
            yield* each("disconnected", is.disconnected)
            yield* each("still served", is.caughtUp)
            yield* node!.start
            yield* each("connected", is.connected)
            yield* flows
          })
        )
        yield* assertNoSockets(cluster)
      })
    )

    it.effect("stopped with SIGSTOP: requests time out, tables say that they are disconnected, and resume", () =>
      Effect.gen(function* () {
        const { cluster, java } = yield* Kafka
        const [node] = cluster.nodes
        yield* scenario({ cluster, java, name: "paused", requestTimeout: "500 millis" }, ({ each, flows }) =>
          Effect.gen(function* () {
            yield* node!.pause
            yield* each("disconnected", is.disconnected)
            yield* node!.resume
            yield* each("connected", is.connected)
            yield* flows
          })
        )
        yield* assertNoSockets(cluster)
      })
    )

    it.effect("half-open connections, silent in one direction: noticed, replaced, nothing lost", () =>
      Effect.gen(function* () {
        const { cluster, java } = yield* Kafka
        const proxy = cluster.nodes[0]!.proxy!
        yield* scenario({ cluster, java, name: "half-open", requestTimeout: "500 millis" }, ({ each, flows }) =>
          Effect.gen(function* () {
            for (const direction of ["toClient", "toBroker"] as const) {
              yield* proxy.freeze(direction)
              yield* each("disconnected", is.disconnected)
              yield* proxy.thaw
              yield* each("connected", is.connected)
              yield* flows
            }
          })
        )
        yield* assertNoSockets(cluster)
      })
    )

    it.effect("connections cut, single answers and requests of fetches lost: nothing is lost or doubled", () =>
      Effect.gen(function* () {
        const { cluster, java } = yield* Kafka
        const proxy = cluster.nodes[0]!.proxy!
        yield* scenario({ cluster, java, name: "cut" }, ({ each, flows }) =>
          Effect.gen(function* () {
            for (let i = 0; i < 5; i++) {
              yield* yield* proxy.dropNextAnswer(FETCH)
              yield* yield* proxy.dropNextRequest(FETCH)
              yield* proxy.cut
            }
            yield* each("connected", is.connected)
            yield* flows
          })
        )
        assert.isAbove((yield* proxy.traffic).connections, 10)
        yield* assertNoSockets(cluster)
      })
    )
  })
})
