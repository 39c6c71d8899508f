/** What was measured with what, for the report. */
import { readFileSync } from "node:fs"
import { createRequire } from "node:module"
import * as os from "node:os"
import * as path from "node:path"

const require = createRequire(import.meta.url)

/** The version of an installed package, found from its entry up: not every package exports its manifest. */
const versionOf = (name: string): string => {
  for (let at = path.dirname(require.resolve(name)); at !== path.dirname(at); at = path.dirname(at)) {
    try {
      const manifest = JSON.parse(readFileSync(path.join(at, "package.json"), "utf8")) as {
        readonly name?: string
        readonly version?: string
      }
      if (manifest.name === name && manifest.version !== undefined) return manifest.version
    } catch {
      continue
    }
  }
  return "unknown"
}

export const versions = (): Readonly<Record<string, string>> => ({
  node: process.versions.node,
  effect: versionOf("effect"),
  kafkajs: versionOf("kafkajs"),
  "@platformatic/kafka": versionOf("@platformatic/kafka"),
  cpu: `${os.cpus().length} x ${os.cpus()[0]?.model.trim() ?? "unknown"}`,
  os: `${os.type()} ${os.release()}`
})
