/** What browsers load: a copy of a table with all that it needs, and nothing of Node's. */
import { assert, describe, it } from "@effect/vitest"
import { gzipSync } from "node:zlib"
import { Effect } from "effect"
import { build } from "esbuild"

const bundle = (source: string) =>
  Effect.promise(async () => {
    const { metafile, outputFiles } = await build({
      stdin: { contents: source, loader: "ts", resolveDir: import.meta.dirname },
      bundle: true,
      minify: true,
      metafile: true,
      write: false,
      platform: "browser",
      target: "es2024",
      format: "esm",
      conditions: ["source"],
      logLevel: "silent"
    })
    return { text: outputFiles[0]!.text, inputs: Object.keys(metafile.inputs) }
  })

const ofNode = /(?<![\w$.])(Buffer|require)\b(?!\s*:)/

/** The entry, and kilobytes that a program with it may have at most. */
const entries = [["RemoteTable", 60]] as const

describe("a bundle for browsers", () => {
  for (const [entry, most] of entries) {
    it.live(`of ${entry} has at most ${most} KB, and nothing of Node's`, () =>
      Effect.gen(function* () {
        const { inputs, text } = yield* bundle(
          `import { make } from "../src/${entry}.ts"
          import * as Schema from "effect/Schema"
          import * as TableTopic from "effect-ktables/TableTopic"
          const topic = TableTopic.make({ name: "t", key: Schema.String, value: Schema.Struct({ a: Schema.Finite }) })
          globalThis.program = make("/", topic)`
        )
        const size = gzipSync(text).length / 1024
        process.stdout.write(`@effect-ktables/http/${entry}: ${size.toFixed(1)} KB gz\n`)
        assert.isAtMost(size, most)
        assert.isUndefined(ofNode.exec(text.replaceAll(/"(?:[^"\\\n]|\\.)*"/g, '""'))?.[0], "what Node alone has")
        const isForeign = (file: string) =>
          /internal\/(log|replica|writer|cluster|protocol|memory|topic|records)\//.test(file)
        assert.deepStrictEqual(
          inputs.filter((file) => file.includes("packages/ktables/src/") && isForeign(file)),
          []
        )
        const barrel = inputs.filter((file) => /\/effect\/(dist|src)\/index\.[jt]s$/.test(file))
        assert.deepStrictEqual(barrel, [])
      })
    )
  }
})
