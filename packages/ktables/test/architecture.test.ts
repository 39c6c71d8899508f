/** The storeys of the core, read from its imports: arrows go downwards only. */
import { assert, describe, it } from "@effect/vitest"
import { existsSync, readdirSync, readFileSync } from "node:fs"
import * as path from "node:path"

const source = path.resolve(import.meta.dirname, "../src")

/**
 * Public files that users and rooms speak in: what is handed over, what is said, what goes wrong. They lie under the rooms,
 * and import nothing of them.
 */
const vocabulary = [
  "Codec",
  "KafkaClient",
  "KafkaError",
  "KafkaTransport",
  "TableChange",
  "TableEntry",
  "TableError",
  "TablePosition",
  "TableStatus",
  "TableTopic",
  "WriteAck"
]

/** The rooms that a room may import, beside the files of `internal` itself and the vocabulary. */
const rooms: Readonly<Record<string, ReadonlyArray<string>>> = {
  records: [],
  protocol: [],
  cluster: ["protocol"],
  topic: ["protocol"],
  writer: ["topic", "records", "protocol"],
  log: ["topic", "checkpoint", "records", "protocol"],
  table: [],
  operators: ["table"],
  checkpoint: ["records"],
  replica: ["table", "log", "topic", "checkpoint", "records"],
  memory: ["records", "protocol"]
}

/** What still stands against the rules: to become less. */
const tolerated: ReadonlyArray<readonly [from: string, to: string]> = [["internal/cluster", "TransportSupport.ts"]]

/** Files of rooms that vocabulary may import: names and numbers without behaviour. */
const words = ["internal/protocol/errorCodes.ts", "internal/table/typeId.ts"]

interface Arrow {
  readonly from: string
  readonly to: string
}

const arrows: ReadonlyArray<Arrow> = readdirSync(source, { recursive: true, encoding: "utf8" })
  .filter((file) => file.endsWith(".ts"))
  .flatMap((file) => {
    // Examples in comments import what users import.
    const code = readFileSync(path.join(source, file), "utf8").replaceAll(/\/\*[\s\S]*?\*\//g, "")
    return [...code.matchAll(/\b(?:from|import)\s*\(?\s*"(\.[^"]+)"/g)].map(([, to]) => ({
      from: file,
      to: path.join(path.dirname(file), to!)
    }))
  })

/** The room of a file, `""` of `internal` itself; undefined of a public file. */
const roomOf = (file: string): string | undefined => {
  const [internal, room, ...rest] = file.split("/")
  return internal !== "internal" ? undefined : rest.length === 0 ? "" : room
}

const isVocabulary = (file: string): boolean => vocabulary.some((name) => file === `${name}.ts`)

const isTolerated = ({ from, to }: Arrow): boolean => tolerated.some(([a, b]) => from.startsWith(a) && to === b)

const isAllowed = ({ from, to }: Arrow): boolean => {
  const [above, below] = [roomOf(from), roomOf(to)]
  if (isVocabulary(from)) return isVocabulary(to) || below === "" || words.includes(to)
  // Other public files stand above everything.
  if (above === undefined) return true
  if (below === undefined) return isVocabulary(to)
  return below === above || below === "" || rooms[above]?.includes(below) === true
}

const shown = ({ from, to }: Arrow): string => `${from} imports ${to}`

describe("the imports of the core", () => {
  it("go down from storey to storey", () => {
    assert.isAbove(arrows.length, 300)
    assert.deepStrictEqual(arrows.filter((arrow) => !isAllowed(arrow) && !isTolerated(arrow)).map(shown), [])
  })

  it("name only rooms that are known, none of which imports another in a circle", () => {
    const known = new Set(arrows.flatMap(({ from }) => roomOf(from) ?? ""))
    known.delete("")
    assert.deepStrictEqual([...known].sort(), Object.keys(rooms).sort())
    const under = (room: string, seen: ReadonlyArray<string>): void => {
      assert.notInclude(seen, room)
      for (const below of rooms[room]!) under(below, [...seen, room])
    }
    for (const room of Object.keys(rooms)) under(room, [])
  })

  it("that go up would be found", () => {
    for (const [from, to] of [
      ["internal/records/batchReader.ts", "internal/protocol/api.ts"],
      ["internal/table/cell.ts", "internal/log/session.ts"],
      ["internal/log/session.ts", "internal/writer/sender.ts"],
      ["internal/writer/sender.ts", "KafkaTableWriter.ts"],
      ["internal/memory/client.ts", "MemoryKafka.ts"],
      ["TableTopic.ts", "internal/topic/ensureTopic.ts"]
    ] as const) {
      assert.isFalse(isAllowed({ from, to }), `${from} imports ${to}`)
    }
  })

  it("are what docs/architecture.md says, and every file and member that it names is there", () => {
    const page = readFileSync(path.resolve(source, "../../../docs/architecture.md"), "utf8")
    const codes = (text: string): Array<string> => Array.from(text.matchAll(/`([^`]+)`/g), ([, code]) => code!)
    const told = Array.from(
      page.matchAll(/^\| `internal\/(\w+)` \|.*\| ([^|]*) \|$/gm),
      ([, room, below]) => [room!, codes(below!)] as const
    )
    assert.deepStrictEqual(Object.fromEntries(told), rooms)
    const missing = Array.from(page.matchAll(/`([a-z]+\/\w+)`(?: \(((?:`\w+`(?:, )?)+)\))?/g)).flatMap(
      ([, file, members]) => {
        if (rooms[file!.split("/")[0]!] === undefined) return []
        const full = path.join(source, "internal", `${file}.ts`)
        if (!existsSync(full)) return [file!]
        const code = readFileSync(full, "utf8")
        return codes(members ?? "").flatMap((member) =>
          new RegExp(`\\b${member}\\b`).test(code) ? [] : `${file}: ${member}`
        )
      }
    )
    assert.deepStrictEqual(missing, [])
  })
})
