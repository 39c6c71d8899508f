/** What browsers load of a module, and what must not be in it. */
import { assert } from "@effect/vitest"
import { gzipSync } from "node:zlib"
import { Effect } from "effect"
import { build } from "esbuild"

export interface BrowserBundle {
  readonly text: string
  /** The files that it holds. */
  readonly inputs: ReadonlyArray<string>
  /** Kilobytes, compressed. */
  readonly size: number
}

/** Bundles a program as for browsers: what only Node has does not even resolve. */
export const browserBundle = (source: string, resolveDir: string): Effect.Effect<BrowserBundle> =>
  Effect.promise(async () => {
    const { metafile, outputFiles } = await build({
      stdin: { contents: source, loader: "ts", resolveDir },
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
    const { text } = outputFiles[0]!
    return { text, inputs: Object.keys(metafile.inputs), size: gzipSync(text).length / 1024 }
  })

/** What Node alone has, and a program does not look for first. */
export const ofNode = (text: string): string | undefined =>
  /(?<![\w$.])(Buffer|require)\b(?!\s*:)/.exec(text.replaceAll(/"(?:[^"\\\n]|\\.)*"/g, '""'))?.[0]

/** Browsers load nothing of Node's, nothing that knows Kafka, and not the whole of `effect`. */
export const assertForBrowsers = ({ inputs, text }: BrowserBundle): void => {
  assert.isUndefined(ofNode(text), "what Node alone has")
  const knowsKafka = /packages\/ktables\/src\/internal\/(log|replica|writer|cluster|protocol|memory|topic|records)\//
  assert.deepStrictEqual(
    inputs.filter((file) => knowsKafka.test(file)),
    [],
    "what knows Kafka"
  )
  assert.deepStrictEqual(
    inputs.filter((file) => /\/effect\/(dist|src)\/index\.[jt]s$/.test(file)),
    [],
    "the barrel of effect"
  )
}
