/** What browsers load: a copy of a table with all that it needs, and nothing of Node's. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { assertForBrowsers, browserBundle } from "../../ktables/test/support/browserBundle.ts"

/** The entry, and kilobytes that a program with it may have at most. */
const entries = [["RemoteTable", 60]] as const

describe("a bundle for browsers", () => {
  for (const [entry, most] of entries) {
    it.live(`of ${entry} has at most ${most} KB, and nothing of Node's`, () =>
      Effect.gen(function* () {
        const bundle = yield* browserBundle(
          `import { make } from "../src/${entry}.ts"
          import * as Schema from "effect/Schema"
          import * as TableTopic from "effect-ktables/TableTopic"
          const topic = TableTopic.make({ name: "t", key: Schema.String, value: Schema.Struct({ a: Schema.Finite }) })
          globalThis.program = make("/", topic)`,
          import.meta.dirname
        )
        process.stdout.write(`@effect-ktables/http/${entry}: ${bundle.size.toFixed(1)} KB gz\n`)
        assert.isAtMost(bundle.size, most)
        assertForBrowsers(bundle)
      })
    )
  }
})
