/** The demo's real input: the manifests of the packages that this workspace has installed. */
import { Effect, Option, Schema } from "effect"
import { readdir, readFile } from "node:fs/promises"
import { Package } from "./Package.ts"

export class NoManifests extends Schema.TaggedError<NoManifests>()("NoManifests", { directory: Schema.String }) {
  override get message(): string {
    return `no packages are installed in ${this.directory}: run pnpm install first`
  }
}

const Manifest = Schema.fromJsonString(
  Schema.Struct({
    name: Schema.NonEmptyString,
    version: Schema.NonEmptyString,
    license: Schema.optionalKey(Schema.Unknown),
    dependencies: Schema.optionalKey(Schema.Record(Schema.String, Schema.Unknown))
  })
)

const decode = Schema.decodeUnknownOption(Manifest)

/** pnpm's store: one directory per installed version, with links to what it depends on beside it. */
const store = new URL("../../../node_modules/.pnpm/", import.meta.url)

const list = (directory: URL) =>
  Effect.tryPromise(() => readdir(directory, { withFileTypes: true })).pipe(
    Effect.map((entries) => entries.filter((entry) => entry.isDirectory()).map((entry) => entry.name)),
    Effect.orElseSucceed((): Array<string> => [])
  )

/** The packages themselves are directories, what they depend on are links. */
const directoriesIn = Effect.fnUntraced(function* (modules: URL) {
  const found: Array<URL> = []
  for (const name of yield* list(modules)) {
    const directory = new URL(`${name}/`, modules)
    if (!name.startsWith("@")) found.push(directory)
    else for (const scoped of yield* list(directory)) found.push(new URL(`${scoped}/`, directory))
  }
  return found
})

const readManifest = (directory: URL) =>
  Effect.tryPromise(() => readFile(new URL("package.json", directory), "utf8")).pipe(
    Effect.map(decode),
    Effect.orElseSucceed(() => Option.none())
  )

const isNewer = (version: string, than: string) => version.localeCompare(than, "en", { numeric: true }) > 0

/** Every installed package by its name, the newest version of each, in the order of their names. */
export const readManifests: Effect.Effect<ReadonlyArray<readonly [string, Package]>, NoManifests> = Effect.gen(
  function* () {
    const versions = yield* list(store)
    const directories = yield* Effect.forEach(
      versions.filter((version) => version !== "node_modules"),
      (version) => directoriesIn(new URL(`${version}/node_modules/`, store)),
      { concurrency: 16 }
    )
    const manifests = yield* Effect.forEach(directories.flat(), readManifest, { concurrency: 16 })
    const newest = new Map<string, Package>()
    for (const manifest of manifests) {
      if (Option.isNone(manifest)) continue
      const { dependencies, license, name, version } = manifest.value
      const known = newest.get(name)
      if (known !== undefined && !isNewer(version, known.version)) continue
      newest.set(
        name,
        new Package({
          version,
          license: typeof license === "string" ? license : "unknown",
          dependencies: Object.keys(dependencies ?? {}).length
        })
      )
    }
    if (newest.size === 0) return yield* new NoManifests({ directory: store.pathname })
    return [...newest].sort(([a], [b]) => (a < b ? -1 : 1))
  }
)
