/**
 * Checks the packages as their users get them: packs what `pnpm build` made, lints the tarballs, installs them into an
 * empty project, imports every public module and runs every command there, and compiles the documentation's examples
 * against them.
 */
import { execFileSync, spawnSync } from "node:child_process"
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import * as path from "node:path"
import { documentedExamples } from "./documentedExamples.ts"

interface Manifest {
  readonly name: string
  readonly version: string
  readonly private?: boolean
  readonly exports: Readonly<Record<string, unknown>>
  /** Files by the names of the commands that they are. */
  readonly bin?: Readonly<Record<string, string>>
  readonly dependencies?: Readonly<Record<string, string>>
  readonly devDependencies: Readonly<Record<string, string>>
  readonly peerDependencies?: Readonly<Record<string, string>>
  readonly optionalDependencies?: Readonly<Record<string, string>>
}

interface PackedPackage {
  readonly folder: string
  readonly tarball: string
  /** Of the tarball, which `publishConfig` changed. */
  readonly manifest: Manifest
  readonly files: ReadonlySet<string>
}

const root = path.resolve(import.meta.dirname, "..")

const readManifest = (file: string) => JSON.parse(readFileSync(file, "utf8")) as Manifest

/** Runs a program, and shows what it says when it fails. */
const run = (command: string, args: ReadonlyArray<string>, cwd: string = root): void => {
  const { error, output, status } = spawnSync(command, args, { cwd, encoding: "utf8" })
  if (error !== undefined) throw error
  if (status === 0) return
  process.stderr.write(output.filter((text) => text !== null).join(""))
  throw new Error(`${command} ${args.join(" ")} failed`)
}

const output = (command: string, args: ReadonlyArray<string>): string =>
  execFileSync(command, args, { cwd: root, encoding: "utf8", stdio: ["ignore", "pipe", "inherit"] })

const assert = (condition: boolean, message: string): void => {
  if (!condition) throw new Error(message)
}

const publishedFolders = (): Array<string> =>
  readdirSync(path.join(root, "packages"))
    .map((name) => path.join(root, "packages", name))
    .filter((folder) => readManifest(path.join(folder, "package.json")).private !== true)

const pack = (folder: string, destination: string): PackedPackage => {
  const before = new Set(readdirSync(destination))
  run("pnpm", ["pack", "--pack-destination", destination], folder)
  const name = readdirSync(destination).find((file) => !before.has(file))
  if (name === undefined) throw new Error(`${folder}: nothing was packed`)
  const tarball = path.join(destination, name)
  const files = output("tar", ["-tzf", tarball]).trim().split("\n")
  return {
    folder,
    tarball,
    manifest: JSON.parse(output("tar", ["-xzOf", tarball, "package/package.json"])) as Manifest,
    files: new Set(files.map((file) => file.slice("package/".length)))
  }
}

/** What the linters of packages do not look for. */
const inspect = ({ files, manifest }: PackedPackage): void => {
  const { name } = manifest
  assert(!JSON.stringify(manifest.exports).includes('"source"'), `${name}: the tarball points its users at sources`)
  const ranges = [manifest.dependencies, manifest.peerDependencies, manifest.optionalDependencies]
  const local = ranges.flatMap((range) => Object.values(range ?? {})).filter((range) => range.startsWith("workspace:"))
  assert(local.length === 0, `${name}: a dependency is known to this workspace alone`)
  for (const file of ["LICENSE", "README.md", "package.json"]) assert(files.has(file), `${name}: ${file} is missing`)
  for (const file of files) {
    assert(!/(^|\/)test\/|\.test\.|tsbuildinfo/.test(file), `${name}: ${file} is of no use to users`)
    if (file.endsWith(".js")) {
      const source = file.replace(/^dist\//, "src/").replace(/\.js$/, ".ts")
      assert(files.has(source), `${name}: ${file} was built from a source that is gone; remove dist and build again`)
    }
  }
}

/** What `exports` lets users import, patterns written out. */
const publicModules = ({ files, manifest }: PackedPackage): Array<string> =>
  Object.entries(manifest.exports).flatMap(([subpath, target]) => {
    if (subpath === "./package.json" || target === null) return []
    if (!subpath.includes("*")) return [path.posix.join(manifest.name, subpath)]
    const [prefix, suffix] = (target as { readonly default: string }).default.slice("./".length).split("*") as [
      string,
      string
    ]
    return [...files]
      .filter((file) => file.startsWith(prefix) && file.endsWith(suffix))
      .map((file) => file.slice(prefix.length, -suffix.length))
      .filter((name) => !name.includes("/") && manifest.exports[`./${name}`] !== null)
      .map((name) => path.posix.join(manifest.name, subpath.replace("*", name)))
  })

const writeJson = (file: string, value: unknown): void =>
  writeFileSync(file, `${JSON.stringify(value, undefined, 2)}\n`)

/** An empty project with the tarballs in it, and with what the examples import beside them. */
const install = (project: string, packed: ReadonlyArray<PackedPackage>): void => {
  mkdirSync(project)
  const { devDependencies } = readManifest(path.join(root, "package.json"))
  const beside = ["effect", "@effect/platform-node", "@effect/vitest", "@types/node", "vitest"]
  writeJson(path.join(project, "package.json"), {
    private: true,
    type: "module",
    dependencies: {
      ...Object.fromEntries(beside.map((name) => [name, devDependencies[name]])),
      ...Object.fromEntries(packed.map(({ manifest, tarball }) => [manifest.name, `file:${tarball}`]))
    }
  })
  const settings = readFileSync(path.join(root, "pnpm-workspace.yaml"), "utf8")
  // One that depends on another finds its tarball, too: no registry has this version yet.
  const overrides = packed.map(({ manifest, tarball }) => `  "${manifest.name}": "file:${tarball}"\n`)
  writeFileSync(
    path.join(project, "pnpm-workspace.yaml"),
    `${settings.replace(/^packages:\n( .*\n)+/, "packages: []\n")}overrides:\n${overrides.join("")}`
  )
  run("pnpm", ["install", "--prefer-offline", "--no-frozen-lockfile", "--reporter=append-only"], project)
}

const importAll = (project: string, modules: ReadonlyArray<string>): void => {
  const lines = modules.map((module) => `import ${JSON.stringify(module)}`)
  writeFileSync(path.join(project, "main.js"), `${lines.join("\n")}\n`)
  run("node", ["main.js"], project)
}

/** Each example keeps the line numbers of the page it is on, so that errors name where they are. */
const compileExamples = (project: string, folders: ReadonlyArray<string>): number => {
  const examples = documentedExamples(root, folders)
  for (const { file, line, source } of examples) {
    const target = path.join(project, "examples", file.replace(/\.(ts|md)$/, ""), `example${line}.ts`)
    mkdirSync(path.dirname(target), { recursive: true })
    writeFileSync(target, `${"\n".repeat(line - 1)}${source}\n`)
  }
  const base = JSON.parse(readFileSync(path.join(root, "tsconfig.base.json"), "utf8")) as {
    readonly compilerOptions: Readonly<Record<string, unknown>>
  }
  writeJson(path.join(project, "tsconfig.json"), {
    compilerOptions: {
      ...base.compilerOptions,
      composite: false,
      incremental: false,
      customConditions: [],
      declarationMap: false,
      plugins: [],
      // Examples end where they have shown what they are for.
      noUnusedLocals: false,
      noEmit: true
    },
    include: ["examples"]
  })
  run(path.join(root, "node_modules/.bin/tsc"), ["-p", "."], project)
  return examples.length
}

const directory = mkdtempSync(path.join(tmpdir(), "effect-ktables-packages-"))
try {
  const packed = publishedFolders().map((folder) => pack(folder, directory))
  for (const one of packed) {
    inspect(one)
    run("publint", ["run", one.tarball, "--strict"])
    run("attw", ["--profile", "esm-only", "--format", "ascii", one.tarball])
  }
  const project = path.join(directory, "project")
  install(project, packed)
  const modules = packed.flatMap(publicModules)
  importAll(project, modules)
  for (const command of packed.flatMap(({ manifest }) => Object.keys(manifest.bin ?? {}))) {
    run(path.join(project, "node_modules/.bin", command), ["--version"], project)
  }
  const examples = compileExamples(
    project,
    packed.map(({ folder }) => folder)
  )
  const names = packed.map(({ manifest }) => `${manifest.name} ${manifest.version}`)
  process.stdout.write(`${names.join(", ")}: ${modules.length} modules import, ${examples} examples compile\n`)
} finally {
  rmSync(directory, { recursive: true, force: true })
}
