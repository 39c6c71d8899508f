/** The page as the HTTP package has it. */
import { html, policy } from "../../http/src/internal/page.generated.ts"
import { assert, it } from "@effect/vitest"
import { readFileSync } from "node:fs"
import { gzipSync } from "node:zlib"
import { bundle, target } from "../scripts/bundle.ts"

it("the built page is that of these sources: `pnpm --filter @effect-ktables/page build` makes it", async () => {
  assert.isTrue((await bundle()) === readFileSync(target, "utf8"), "build the page again")
})

it("the page names no address but its own server, and is small", () => {
  const addresses = html.match(/https?:\/\/[^\s"'`\\)]+/g) ?? []
  // Names of XML vocabularies, which nothing is fetched from.
  assert.deepStrictEqual(
    addresses.filter((address) => !address.startsWith("http://www.w3.org/")),
    []
  )
  assert.isBelow(gzipSync(html).length, 30_000)
  assert.notInclude(policy, "unsafe")
})
