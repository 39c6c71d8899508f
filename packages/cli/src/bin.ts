#!/usr/bin/env node
/** What a shell runs. */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { main } from "./internal/main.ts"

// Whoever reads the output may leave before its end, as `head` does.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code === "EPIPE") process.exit(0)
  throw error
})

NodeRuntime.runMain(main(process.argv.slice(2)), { disableErrorReporting: true })
