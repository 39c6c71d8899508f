/** A real Chromium: the one that `CHROMIUM` names, one that is installed, or Debian's, which is installed where that can be. */
import { Context, Effect, Layer, Schema, type Scope } from "effect"
import { spawnSync } from "node:child_process"
import { accessSync, constants, mkdirSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { type Browser, type BrowserContextOptions, chromium, type Page } from "playwright-core"

export class NoChromium extends Schema.TaggedError<NoChromium>()("NoChromium", { detail: Schema.String }) {
  override get message(): string {
    return this.detail
  }
}

const places = [
  "/usr/bin/chromium",
  "/usr/bin/chromium-browser",
  "/usr/bin/google-chrome",
  "/usr/bin/google-chrome-stable",
  "/opt/google/chrome/chrome",
  "/snap/bin/chromium",
  "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
  "/Applications/Chromium.app/Contents/MacOS/Chromium"
]

const canRun = (file: string): boolean => {
  try {
    accessSync(file, constants.X_OK)
    return true
  } catch {
    return false
  }
}

const isRoot = process.getuid?.() === 0

const installed = (): string | undefined => places.find(canRun)

/** Debian's package, where this process may install it. */
const install = (): void => {
  if (!isRoot || !canRun("/usr/bin/apt-get")) return
  const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive" }
  for (const args of [
    ["update", "-qq"],
    ["install", "-y", "-qq", "--no-install-recommends", "chromium"]
  ]) {
    spawnSync("/usr/bin/apt-get", args, { env, stdio: ["ignore", "ignore", "inherit"] })
  }
}

const executable = Effect.suspend(() => {
  const named = process.env["CHROMIUM"]
  if (named !== undefined && named !== "") {
    return canRun(named)
      ? Effect.succeed(named)
      : Effect.fail(new NoChromium({ detail: `CHROMIUM is ${named}, which cannot be run` }))
  }
  if (installed() === undefined) install()
  const file = installed()
  return file === undefined
    ? Effect.fail(
        new NoChromium({
          detail: `no Chromium or Chrome: install one, or name it in CHROMIUM (looked at ${places.join(", ")})`
        })
      )
    : Effect.succeed(file)
})

/** A browser that is closed with the scope. */
export const launch: Effect.Effect<Browser, NoChromium, Scope.Scope> = Effect.flatMap(executable, (executablePath) =>
  Effect.acquireRelease(
    Effect.promise(() => chromium.launch({ executablePath, args: isRoot ? ["--no-sandbox"] : [] })),
    (browser) => Effect.promise(() => browser.close())
  )
)

/** The browser of a test file. */
export class Chromium extends Context.Service<Chromium, Browser>()("test/Chromium") {
  static readonly layer = Layer.effect(Chromium, launch)
}

export interface OpenPage {
  readonly page: Page
  /** What the browser complained about: errors of the page, and what its policy refused. */
  readonly complaints: ReadonlyArray<string>
}

/** A page of its own at an address. What the network says of a server that is away is no complaint. */
export const open = (
  browser: Browser,
  url: string,
  options: BrowserContextOptions = {}
): Effect.Effect<OpenPage, never, Scope.Scope> =>
  Effect.gen(function* () {
    const context = yield* Effect.acquireRelease(
      Effect.promise(() => browser.newContext({ viewport: { width: 1440, height: 900 }, ...options })),
      (context) => Effect.promise(() => context.close())
    )
    const page = yield* Effect.promise(() => context.newPage())
    page.setDefaultTimeout(30_000)
    const complaints: Array<string> = []
    page.on("pageerror", (error) => complaints.push(String(error)))
    page.on("console", (message) => {
      if (message.type() !== "error" && message.type() !== "warning") return
      if (!message.text().startsWith("Failed to load resource")) complaints.push(message.text())
    })
    yield* Effect.promise(() => page.goto(url))
    return { page, complaints }
  })

/** Keeps a picture of the page, outside of git, for people to look at. */
export const keepPicture = (page: Page, name: string): Effect.Effect<void> =>
  Effect.promise(async () => {
    const folder = fileURLToPath(new URL("../../node_modules/.cache/screenshots/", import.meta.url))
    mkdirSync(folder, { recursive: true })
    await page.screenshot({ path: `${folder}${name}.png` })
  })
