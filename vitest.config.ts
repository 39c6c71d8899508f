import { defineConfig } from "vitest/config"
import projects from "./vitest.workspace.ts"

// Packages import each other's sources, so that no build comes before the tests.
const conditions = ["source", "module", "node", "development|production"]

export default defineConfig({
  resolve: { conditions },
  ssr: { resolve: { conditions } },
  test: { projects }
})
