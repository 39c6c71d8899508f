/** Whose connection a fetcher uses: its own, or where many fetch from the broker that of all. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import type { FetchAnswer, FetchRequest } from "effect-ktables/KafkaClient"
import type { BrokerConnection } from "../../src/internal/cluster/brokerConnection.ts"
import { makeFetcher } from "../../src/internal/cluster/fetcher.ts"

const answer: FetchAnswer = { throttle: 0, errorCode: 0, partitions: [], version: 17 }

const request: FetchRequest = {
  topic: "t",
  topicId: "00000000000000000000000000000001",
  isolation: "read_committed",
  maxWait: 100,
  minBytes: 1,
  maxBytes: 100,
  rack: undefined,
  shares: true,
  partitions: []
}

describe("a fetcher", () => {
  it.effect("has a connection of its own until it shares one, and gives it up then", () =>
    Effect.gen(function* () {
      const used: Array<string> = []
      const connection = {
        versionOf: () => Effect.succeed(17),
        call: () => Effect.sync(() => (used.push("own"), answer)),
        close: Effect.sync(() => used.push("closed"))
      } as unknown as BrokerConnection
      let areMany = false
      let answers: FetchAnswer | undefined = answer
      const fetcher = makeFetcher(Effect.succeed(connection), {
        areMany: () => areMany,
        fetch: () => Effect.sync(() => (used.push("shared"), answers))
      })
      yield* fetcher.fetch(request)
      areMany = true
      // Who loads has one all the same.
      yield* fetcher.fetch({ ...request, shares: false })
      yield* fetcher.fetch(request)
      yield* fetcher.fetch(request)
      answers = undefined
      yield* fetcher.fetch(request)
      areMany = false
      yield* fetcher.fetch(request)
      assert.deepStrictEqual(used, ["own", "own", "shared", "closed", "shared", "shared", "own", "own"])
    })
  )
})
