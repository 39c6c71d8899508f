/** What a writer counts. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Metric, Schema } from "effect"
import * as TableTopic from "effect-ktables/TableTopic"
import { ErrorCode } from "../../src/internal/protocol/errorCodes.ts"
import { failureOf, writerTo } from "./fixtures.ts"
import { accept, cut, eventually, refuse, ScriptedKafka } from "./scriptedKafka.ts"

describe("metrics", () => {
  it.effect("count what was written, tried again, and failed by kind", () =>
    Effect.gen(function* () {
      const kafka = new ScriptedKafka()
      kafka.produces = [cut, accept, refuse(ErrorCode.TOPIC_AUTHORIZATION_FAILED)]
      const name = "counted"
      const writer = yield* writerTo(TableTopic.make({ name, key: Schema.String, value: Schema.Finite }), kafka)
      yield* eventually(
        writer.setAll([
          ["a", 1],
          ["b", 2]
        ])
      )
      yield* failureOf(writer.set("c", 3))
      const counts = (yield* Metric.snapshot).flatMap((metric) =>
        metric.type === "Counter" && metric.attributes?.["topic"] === name
          ? [[metric.id, metric.attributes["kind"], metric.state.count]]
          : []
      )
      assert.sameDeepMembers(counts, [
        ["ktables_written_records_total", undefined, 2],
        ["ktables_written_bytes_total", undefined, kafka.produced[0]!.bytes.length],
        ["ktables_write_retries_total", undefined, 1],
        ["ktables_write_errors_total", "NotAuthorized", 1]
      ])
    })
  )
})
