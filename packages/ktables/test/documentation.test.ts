/** What the documentation says of the sources: links that lead somewhere, tests that are there, options with their defaults. */
import { assert, describe, it } from "@effect/vitest"
import { existsSync, readdirSync, readFileSync } from "node:fs"
import * as path from "node:path"

const root = path.resolve(import.meta.dirname, "../../..")
const read = (file: string): string => readFileSync(path.join(root, file), "utf8")

const markdownIn = (folder: string): Array<string> =>
  existsSync(path.join(root, folder))
    ? readdirSync(path.join(root, folder))
        .filter((name) => name.endsWith(".md"))
        .map((name) => path.join(folder, name))
    : []

const pages = [
  "README.md",
  ...markdownIn("docs"),
  ...markdownIn("docs/adr"),
  ...readdirSync(path.join(root, "packages")).flatMap((name) => markdownIn(path.join("packages", name)))
]

const withoutCode = (text: string): string => text.replace(/^```[\s\S]*?^```$/gm, "")

/** The anchor that a heading gets on GitHub. */
const anchorOf = (heading: string): string =>
  heading
    .replaceAll("`", "")
    .toLowerCase()
    .replace(/[^\p{L}\p{N} _-]/gu, "")
    .replaceAll(" ", "-")

const anchorsIn = (file: string): Set<string> =>
  new Set(Array.from(withoutCode(read(file)).matchAll(/^#+ (.*)$/gm), ([, heading]) => anchorOf(heading!)))

const problemOf = (page: string, link: string): string | undefined => {
  const [target = "", anchor] = link.split("#")
  const file = target === "" ? page : path.join(path.dirname(page), target)
  if (!existsSync(path.join(root, file))) return `${page}: ${link} leads nowhere`
  return anchor !== undefined && !anchorsIn(file).has(anchor) ? `${page}: ${link} has no such heading` : undefined
}

/** The titles of a source's tests, with what is filled in left open: what the functions that make tests are first told. */
const titlesIn = (source: string): Array<RegExp> =>
  Array.from(
    source.matchAll(/\b(?:it(?:\.\w+)*|loadedAndLive|rebuildsAfter)\(\s*(?:"([^"\n]+)"|`([^`\n]+)`)/g),
    ([, plain, template]) => {
      const parts = template === undefined ? [plain!] : template.split(/\$\{[^}]*\}/)
      return new RegExp(`^${parts.map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")).join(".+")}$`)
    }
  )

/** A test that a page of `docs` names, by the file that it names it for. */
interface NamedTest {
  readonly file: string
  readonly name: string
  /** What its title may begin with although the page leaves it out. */
  readonly prefixes: ReadonlyArray<string>
}

const quoted = (text: string): Array<string> => Array.from(text.matchAll(/"([^"]+)"/g), ([, name]) => name!)

const testsOfContract = (): Array<NamedTest> =>
  read("docs/contract.md")
    .split(/^- (?=\[)/m)
    .slice(1)
    .flatMap((item) => {
      const file = /^\[[^\]]+\]\(([^)]+)\)/.exec(item)?.[1]
      if (file === undefined || !file.endsWith(".test.ts")) return []
      const own = item.split(/\n\n|\n#/)[0]!.replace(/\s+/g, " ")
      return quoted(own).map((name) => ({ file: path.join("docs", file), name, prefixes: [] }))
    })

/** The tests that the last cell of each row names; the number of a row is left out there. */
const testsInRows = (page: string): Array<NamedTest> =>
  Array.from(read(page).matchAll(/^\| ([^|]+) \|(?:.*\|)? ([^|]*) \|$/gm)).flatMap(([, rows, cell]) => {
    const prefixes = Array.from(rows!.matchAll(/\d+/g), ([row]) => `row ${row}: `)
    return Array.from(cell!.matchAll(/\]\(([^)]+)\)([^[]*)/g)).flatMap(([, file, names]) =>
      quoted(names!).map((name) => ({ file: path.join("docs", file!), name, prefixes }))
    )
  })

const missing = (tests: ReadonlyArray<NamedTest>): Array<string> =>
  tests.flatMap(({ file, name, prefixes }) => {
    const titles = titlesIn(read(file))
    const isThere = ["", ...prefixes].some((prefix) => titles.some((title) => title.test(prefix + name)))
    return isThere ? [] : [`${file}: ${name}`]
  })

/** The options of an interface in a source, with the default that their comments name. */
const optionsOf = (source: string, name: string): Map<string, string | undefined> => {
  const body = new RegExp(`interface ${name}(?:<[^{]*>)? {\n([\\s\\S]*?)\n}`).exec(source)?.[1] ?? ""
  const options = new Map<string, string | undefined>()
  let comment = ""
  for (const line of body.split("\n")) {
    const option = /^ {2}readonly (\w+)\??:/.exec(line)?.[1]
    if (option === undefined) {
      comment += ` ${line
        .trim()
        .replace(/^\/?\*+\/?/, "")
        .trim()}`
      continue
    }
    options.set(option, /Default: (.*?)(?:\.\s|\.?\s*\*\/|\.?$)/.exec(comment.trim())?.[1])
    comment = ""
  }
  return options
}

const tableUnder = (start: string): Map<string, string> => {
  const readme = read("README.md")
  const rows = readme.slice(readme.indexOf(start)).split("\n\n")[1] ?? ""
  return new Map(
    Array.from(rows.matchAll(/^\| `([\w.]+)` \| (.*?) \|/gm), ([, option, value]) => [option!, value!] as const)
  )
}

const numbered = (text: string, pattern: RegExp): Array<number> =>
  Array.from(text.matchAll(pattern), ([, number]) => Number(number))

const fetchOptions = "packages/ktables/src/internal/replica/fetchOptions.ts"

describe("the documentation", () => {
  it("links to files and headings that are there", () => {
    const problems = pages.flatMap((page) =>
      Array.from(withoutCode(read(page)).matchAll(/\]\(([^)\s]+)\)/g), ([, link]) => link!)
        .filter((link) => !/^\w+:/.test(link))
        .flatMap((link) => problemOf(page, link) ?? [])
    )
    assert.deepStrictEqual(problems, [])
  })

  it("numbers the guarantees alike in the README, the contract and the module's comment", () => {
    const guarantees = Array.from({ length: 13 }, (_, i) => i + 1)
    const readme = read("README.md")
    assert.deepStrictEqual(numbered(readme.slice(readme.indexOf("## The contract")), /^(\d+)\. \*\*/gm), guarantees)
    assert.deepStrictEqual(numbered(read("docs/contract.md"), /^## (\d+)\. /gm), guarantees)
    assert.deepStrictEqual(numbered(read("packages/ktables/src/KafkaTable.ts"), /^ \* (\d+)\. /gm), guarantees)
  })

  it("names tests for the contract that are in the files it names", () => {
    const tests = testsOfContract()
    assert.isAbove(tests.length, 30)
    assert.deepStrictEqual(missing(tests), [])
  })

  it("names tests for every law of operators that are in the files it names", () => {
    const tests = testsInRows("docs/contract.md")
    assert.isAbove(tests.length, 20)
    assert.deepStrictEqual(missing(tests), [])
  })

  it("names tests for every fault that are in the files it names", () => {
    const tests = testsInRows("docs/faults.md")
    assert.isAbove(tests.length, 120)
    assert.deepStrictEqual(missing(tests), [])
  })

  it("says of every fault which test shows it on a real broker, or why none can, and begins with it in words", () => {
    const [embedded, real] = read("docs/faults.md").split("## On real brokers")
    const faultsIn = (text: string) =>
      Array.from(text.matchAll(/^\| (?:([\d, ]+)\. )?([^|]+) \|/gm), ([, rows, words]) => ({
        rows: rows ?? "",
        words: words!
      })).filter(({ words }) => words !== "fault" && !words.startsWith("---"))
    const numbersIn = (text: string) =>
      [...new Set(faultsIn(text).flatMap(({ rows }) => numbered(rows, /(\d+)/g)))].sort((a, b) => a - b)
    const all = Array.from({ length: 68 }, (_, n) => n + 1)
    assert.deepStrictEqual(numbersIn(embedded!), all)
    assert.deepStrictEqual(numbersIn(real!), all)
    for (const { words } of [...faultsIn(embedded!), ...faultsIn(real!)]) assert.match(words, /[a-z]{3}/)
  })

  it("names tests on real brokers that test:faults runs", () => {
    const command = (JSON.parse(read("package.json")) as { scripts: Record<string, string> }).scripts["test:faults"]!
    const folders = command.split(" ").filter((word) => word.startsWith("packages/"))
    const real = read("docs/faults.md").split("## On real brokers")[1]!
    const files = Array.from(real.matchAll(/\]\(\.\.\/([^)]+\.test\.ts)\)/g), ([, file]) => file!)
    assert.deepStrictEqual(
      files.filter((file) => !folders.some((folder) => file.startsWith(folder))),
      []
    )
  })

  it("lists every option of tables and writers", () => {
    const table = read("packages/ktables/src/KafkaTable.ts")
    const writer = read("packages/ktables/src/KafkaTableWriter.ts")
    const ofTables = [...optionsOf(table, "Options").keys()].filter((option) => option !== "fetch")
    const ofFetches = [...optionsOf(read(fetchOptions), "FetchOptions").keys()].map((option) => `fetch.${option}`)
    assert.sameMembers([...tableUnder("Of a table:").keys()], [...ofTables, ...ofFetches])
    const ofWriters = [...optionsOf(writer, "CommonOptions").keys(), "acks", "idempotence"]
    assert.sameMembers([...tableUnder("Of a writer:").keys()], ofWriters)
  })

  it("gives the defaults that the options' own comments give", () => {
    const table = read("packages/ktables/src/KafkaTable.ts")
    const fromSource = new Map([
      ...optionsOf(table, "Options"),
      ...Array.from(
        optionsOf(read(fetchOptions), "FetchOptions"),
        ([option, value]) => [`fetch.${option}`, value] as const
      )
    ])
    const plain = (text: string | undefined): string | undefined => text?.replaceAll("`", "")
    for (const [option, value] of tableUnder("Of a table:")) {
      assert.strictEqual(plain(value), plain(fromSource.get(option)), option)
    }
    const ofWriters = optionsOf(read("packages/ktables/src/KafkaTableWriter.ts"), "CommonOptions")
    for (const [option, value] of tableUnder("Of a writer:")) {
      const said = plain(ofWriters.get(option))
      // Prose, and options that exclude each other, are not compared.
      if (said === undefined || option === "ensureTopic" || option === "partitioner") continue
      assert.isTrue(said.startsWith(plain(value)!), `${option}: ${value}, the source says ${said}`)
    }
  })

  it("has a line for every error that a table or a write can end with", () => {
    const readme = read("README.md")
    const errors = readme.slice(readme.indexOf("## Errors"), readme.indexOf("## Status"))
    const source = read("packages/ktables/src/TableError.ts")
    const tags = Array.from(source.matchAll(/(?:TaggedError<\w+>\(\)|TaggedError)\("(\w+)"/g), ([, tag]) => tag!)
    assert.isAbove(tags.length, 20)
    assert.deepStrictEqual(
      tags.filter((tag) => !errors.includes(`\`${tag}\``)),
      []
    )
  })

  it("names the metrics that are counted", () => {
    const source = ["log", "writer", "cluster"]
      .map((room) => read(`packages/ktables/src/internal/${room}/metrics.ts`))
      .join("\n")
    const counted = Array.from(source.matchAll(/"(ktables_\w+)"/g), ([, name]) => name!)
    const told = Array.from(read("docs/operations.md").matchAll(/^\| `(ktables_\w+)`/gm), ([, name]) => name!)
    assert.sameMembers(told, counted)
  })
})
