/** The programs in the documentation: every ```ts block of a README, and of the doc comments of public modules. */
import { existsSync, readdirSync, readFileSync } from "node:fs"
import * as path from "node:path"

export interface DocumentedExample {
  /** Relative to the root of the repository. */
  readonly file: string
  /** Of the example's first line, counted from 1. */
  readonly line: number
  readonly source: string
}

const blocksOf = (file: string, lines: ReadonlyArray<string>): Array<DocumentedExample> => {
  const examples: Array<DocumentedExample> = []
  let open: { readonly line: number; readonly source: Array<string> } | undefined
  for (const [index, line] of lines.entries()) {
    const text = line.trimEnd()
    if (open === undefined) {
      if (text.trimStart() === "```ts") open = { line: index + 2, source: [] }
    } else if (text.trimStart() === "```") {
      examples.push({ file, line: open.line, source: open.source.join("\n") })
      open = undefined
    } else {
      open.source.push(text)
    }
  }
  if (open !== undefined) throw new Error(`${file}:${open.line}: the example has no end`)
  return examples
}

const withoutCommentMarks = (line: string): string => line.replace(/^\s*\*\/?( |$)/, "")

const modulesOf = (directory: string): Array<string> =>
  readdirSync(directory, { withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith(".ts"))
    .map((entry) => path.join(directory, entry.name))

const linesOf = (file: string): Array<string> => readFileSync(file, "utf8").split("\n")

export const documentedExamples = (root: string, folders: ReadonlyArray<string>): Array<DocumentedExample> => {
  const readmes = [root, ...folders].map((folder) => path.join(folder, "README.md")).filter((file) => existsSync(file))
  const modules = folders.flatMap((folder) => modulesOf(path.join(folder, "src")))
  return [
    ...readmes.flatMap((file) => blocksOf(path.relative(root, file), linesOf(file))),
    ...modules.flatMap((file) => blocksOf(path.relative(root, file), linesOf(file).map(withoutCommentMarks)))
  ]
}
