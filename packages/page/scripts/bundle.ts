/** The page as one document: what it imports, its style and its HTML, and the policy under which a browser may run it. */
import { build } from "esbuild"
import { createHash } from "node:crypto"
import { readFileSync } from "node:fs"
import { fileURLToPath } from "node:url"

const source = new URL("../src/", import.meta.url)

/** Where the HTTP package has it. */
export const target = new URL("../../http/src/internal/page.generated.ts", import.meta.url)

const hash = (text: string): string => `'sha256-${createHash("sha256").update(text).digest("base64")}'`

const built = async (entry: string): Promise<string> => {
  const { outputFiles } = await build({
    entryPoints: [fileURLToPath(new URL(entry, source))],
    bundle: true,
    minify: true,
    write: false,
    format: "esm",
    target: "es2022",
    jsx: "automatic",
    jsxImportSource: "preact",
    legalComments: "none",
    charset: "ascii",
    conditions: ["source"]
  })
  return outputFiles[0]!.text.trim()
}

/** What the browser may do: run this script, apply this style, ask this server; nothing else. */
const policyOf = (script: string, style: string): string =>
  [
    "default-src 'none'",
    `script-src ${hash(script)}`,
    `style-src ${hash(style)}`,
    "connect-src 'self'",
    "img-src data:",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'"
  ].join("; ")

const licence = (name: string): string =>
  readFileSync(new URL(`../node_modules/${name}/LICENSE`, import.meta.url), "utf8").trim()

/** The text of the module. */
export const bundle = async (): Promise<string> => {
  // What could end the element early is written so that it does not.
  const script = `\n${(await built("main.tsx")).replaceAll("</script", "<\\/script")}\n`
  const style = `\n${await built("style.css")}\n`
  // The hashes are of all that stands between the tags.
  const html = readFileSync(new URL("index.html", source), "utf8")
    .replace(/<script>[^]*<\/script>/, () => `<script type="module">${script}</script>`)
    .replace(/<style>[^]*?<\/style>/, () => `<style>${style}</style>`)
  return `/**
 * The live page, built by packages/page: not to be changed by hand.
 *
 * It holds Preact (https://preactjs.com) and its signals, under these licences.
 *
${[`preact:\n\n${licence("preact")}`, `@preact/signals, @preact/signals-core:\n\n${licence("@preact/signals")}`]
  .join("\n\n")
  .split("\n")
  .map((line) => (line === "" ? " *" : ` * ${line}`))
  .join("\n")}
 */

/** Under which a browser may show the page. */
export const policy = ${JSON.stringify(policyOf(script, style))}

export const html = ${JSON.stringify(html)}
`
}
