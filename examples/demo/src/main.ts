/** `pnpm demo`: see `settings.ts` for what it can do. */
import { help, readSettings } from "./settings.ts"
import * as Output from "./terminal/Output.ts"

const quit = () => process.exit(130)

const settings = readSettings(process.argv.slice(2), process.env)

if (settings._tag === "Help") {
  console.log(help)
} else if (settings._tag === "Wrong") {
  console.error(`${settings.detail} (see --help)`)
  process.exitCode = 1
} else if (settings._tag === "Page") {
  const { runPage } = await import("./run.ts")
  runPage(settings.port)
} else {
  const output = Output.open(process.stdout)
  process.once("SIGINT", quit).once("SIGTERM", quit)
  const title = settings._tag === "Demo" ? "npm packages as a live table" : settings.topic
  output.show({
    title: `${title} · starting`,
    columns: [],
    table: undefined,
    rate: 0,
    rows: () => [],
    changes: [],
    course: undefined,
    notice: undefined,
    hint: undefined
  })
  // The picture comes before the library: loading it from its TypeScript sources takes a moment.
  const { run } = await import("./run.ts")
  run(settings, output)
  // Only now that the program listens: a signal that arrives while nobody does would be lost.
  process.off("SIGINT", quit).off("SIGTERM", quit)
}
