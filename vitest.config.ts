import { defineConfig } from "vitest/config"
import { summary } from "./vitest.reporter.ts"
import projects from "./vitest.workspace.ts"

// Packages import each other's sources, so that no build comes before the tests.
const conditions = ["source", "module", "node", "development|production"]

const reporters = process.env["GITHUB_ACTIONS"] === undefined ? ["default"] : ["default", "github-actions"]

export default defineConfig({
  resolve: { conditions },
  ssr: { resolve: { conditions } },
  test: { projects, reporters: [...reporters, summary] }
})
