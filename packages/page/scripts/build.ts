/** Bundles the page into one module of the HTTP package: `pnpm --filter @effect-ktables/page build`. */
import { writeFileSync } from "node:fs"
import { bundle, target } from "./bundle.ts"

writeFileSync(target, await bundle())
