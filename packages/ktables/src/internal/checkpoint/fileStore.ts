/**
 * Checkpoints as files of a directory, each with a lock beside it that names the process which may write.
 *
 * A process that is seen to be gone has no right any more, and its lock is taken over at once. Where that cannot be seen, from
 * another machine or another container, the lock is watched: whoever has it touches it every few seconds, and one that nobody
 * touches for long is taken over. Where two take it over, the later one has it, and the other one sees that before it writes.
 *
 * It needs more of a file system than Effect's `FileSystem` can do on all platforms (positions of writes, and the syncing of
 * folders), which is not stable either: it is written for `node:fs`, loaded when the first store is made.
 */
import type * as Fs from "node:fs/promises"
import type * as Path from "node:path"
import { Effect, Schedule, type Scope } from "effect"
import { current, isAlive, type Process } from "./process.ts"
import { type Checkpoint, CheckpointError, type Service } from "./store.ts"

/** Milliseconds between two touches of a lock. */
const TOUCH = 3000
/** Milliseconds without one after which nobody is taken to have the lock. */
const ABANDONED = 15_000
/** Milliseconds between two looks at a lock. */
const LOOK = 1000

/** Nobody else may read what is in a topic. */
const MODE = 0o600
const DIRECTORY_MODE = 0o700

/** File names have 255 bytes at most, of which an ending takes five. */
const MOST_NAME = 250

const codeOf = (error: unknown): string | undefined => (error as NodeJS.ErrnoException | undefined)?.code

const detailOf = (error: unknown): string => {
  switch (codeOf(error)) {
    case "ENOSPC":
      return "there is no space left"
    case "EACCES":
    case "EPERM":
      return "the directory or the file may not be written by this user"
    case "EROFS":
      return "the file system is read-only"
    default:
      return error instanceof Error ? error.message : String(error)
  }
}

interface Modules {
  readonly fs: typeof Fs
  readonly path: typeof Path
  readonly self: Process
}

const load = Effect.promise(async (): Promise<Modules> => {
  const [fs, path, os] = await Promise.all([import("node:fs/promises"), import("node:path"), import("node:os")])
  return { fs, path, self: await current(fs, os) }
})

/** The process that a lock names; undefined where it names none, since its writer was cut short. */
const ownerIn = (lock: string): Process | undefined => {
  try {
    return JSON.parse(lock)
  } catch {
    return undefined
  }
}

const writtenBy = (owner: Process | undefined): string =>
  owner === undefined ? "another process writes it" : `process ${owner.pid} on ${owner.host} writes it`

/** What `run` comes to; undefined where there is no such file. */
const unlessMissing = async <A>(run: Promise<A>): Promise<A | undefined> => {
  try {
    return await run
  } catch (error) {
    if (codeOf(error) === "ENOENT") return undefined
    throw error
  }
}

const writeAll = async (to: Fs.FileHandle, at: number, bytes: ReadonlyArray<Uint8Array>): Promise<void> => {
  let place = at
  for (const part of bytes) {
    for (let from = 0; from < part.length;) {
      const { bytesWritten } = await to.write(part, from, part.length - from, place)
      from += bytesWritten
      place += bytesWritten
    }
  }
}

let openings = 0

const openFile = Effect.fnUntraced(function* (
  { fs, path, self }: Modules,
  directory: string,
  name: string
): Effect.fn.Return<Checkpoint, CheckpointError, Scope.Scope> {
  const scope = yield* Effect.scope
  const refused = (operation: CheckpointError["operation"], detail: string): CheckpointError =>
    new CheckpointError({ checkpoint: name, operation, detail })
  const attempt = <A>(operation: CheckpointError["operation"], evaluate: () => Promise<A>) =>
    Effect.tryPromise({
      try: evaluate,
      catch: (cause) =>
        cause instanceof CheckpointError
          ? cause
          : new CheckpointError({ checkpoint: name, operation, detail: detailOf(cause), cause })
    })

  const stem = encodeURIComponent(name)
  if (name === "" || stem.length > MOST_NAME) {
    return yield* refused("open", `a name has 1 to ${MOST_NAME} characters, since files are named for it`)
  }
  const file = path.join(directory, `${stem}.ckpt`)
  const beside = path.join(directory, `${stem}.next`)
  const lock = path.join(directory, `${stem}.lock`)
  // A process may open a checkpoint twice.
  const ownLock = JSON.stringify({ ...self, opening: ++openings })

  /** Open to be read, and by its owner to be written. */
  let handle: Fs.FileHandle | undefined
  let isOwned = false

  const close = async (): Promise<void> => {
    const closing = handle
    handle = undefined
    await closing?.close()
  }
  yield* Effect.addFinalizer(() => Effect.ignore(attempt("open", close)))

  const opened = async (): Promise<Fs.FileHandle | undefined> =>
    (handle ??= await unlessMissing(fs.open(file, isOwned ? "r+" : "r")))

  const readLock = (): Promise<string | undefined> => unlessMissing(fs.readFile(lock, "utf8"))

  /** Throws unless the lock is this opening's: it may have been lost while the process stood still. */
  const checkOwned = async (): Promise<void> => {
    if (isOwned && (await readLock()) === ownLock) return
    isOwned = false
    throw refused("claim", "the right to write it was not taken, or is lost to another process")
  }

  /** A file's name lasts once its folder is synced, where a folder can be opened. */
  const syncDirectory = async (): Promise<void> => {
    const folder = await fs.open(directory, "r").catch(() => undefined)
    await folder?.sync().catch(() => {})
    await folder?.close()
  }

  const release = Effect.promise(async () => {
    if (!isOwned) return
    isOwned = false
    const found = await readLock().catch(() => undefined)
    if (found === ownLock) await fs.rm(lock, { force: true }).catch(() => {})
  })

  // Before anything that is opened later, and so after it when the scope closes: what is written last is still written.
  yield* Effect.addFinalizer(() => release)

  /** It shows others that somebody is there. */
  const touch = attempt("claim", async () => {
    const now = new Date()
    if (isOwned && (await readLock()) === ownLock) await fs.utimes(lock, now, now)
  }).pipe(Effect.ignore, Effect.repeat(Schedule.spaced(TOUCH)))

  /** Leaves none that is cut short, where there is no space. */
  const writeWhole = async (name: string, flag: "w" | "wx"): Promise<void> => {
    const made = await fs.open(name, flag, MODE)
    try {
      await made.writeFile(ownLock)
    } catch (error) {
      await fs.rm(name, { force: true })
      throw error
    } finally {
      await made.close()
    }
  }

  const create = attempt("claim", async () => {
    await fs.mkdir(directory, { recursive: true, mode: DIRECTORY_MODE })
    try {
      await writeWhole(lock, "wx")
      return true
    } catch (error) {
      if (codeOf(error) === "EEXIST") return false
      throw error
    }
  })

  const takeOver = attempt("claim", async () => {
    const next = path.join(directory, `${self.id}.lock`)
    await writeWhole(next, "w")
    await fs.rename(next, lock)
  })

  const look = attempt("claim", async () => {
    const text = await readLock()
    const stat = await unlessMissing(fs.stat(lock))
    return text === undefined || stat === undefined ? undefined : { text, touched: stat.mtimeMs }
  })

  const claim: Checkpoint["claim"] = Effect.gen(function* () {
    let watched: { readonly text: string; readonly touched: number } | undefined
    let waited = 0
    while (!(yield* create)) {
      const found = yield* look
      // Given back meanwhile: it is free.
      if (found === undefined) continue
      const owner = ownerIn(found.text)
      const isThere = owner === undefined ? undefined : yield* attempt("claim", () => isAlive(fs, owner, self))
      if (isThere === true) return writtenBy(owner)
      if (isThere === false || waited >= ABANDONED) {
        yield* takeOver
        break
      }
      if (watched !== undefined && (watched.touched !== found.touched || watched.text !== found.text)) {
        return writtenBy(owner)
      }
      watched = found
      waited += LOOK
      yield* Effect.sleep(LOOK)
    }
    isOwned = true
    yield* Effect.forkIn(touch, scope)
    // The file may be another one by now, and is to be opened to be written.
    yield* attempt("claim", close)
    return undefined
  })

  const replacement: Checkpoint["replacement"] = Effect.gen(function* () {
    const next = yield* Effect.acquireRelease(
      attempt("replace", async () => {
        await checkOwned()
        await fs.rm(beside, { force: true })
        return await fs.open(beside, "wx+", MODE)
      }),
      (next) =>
        Effect.ignore(
          attempt("replace", async () => {
            if (handle === next) return
            await next.close()
            await fs.rm(beside, { force: true })
          })
        )
    )
    return {
      write: (at, bytes) => attempt("replace", () => writeAll(next, at, bytes)),
      commit: attempt("replace", async () => {
        await next.sync()
        await checkOwned()
        await fs.rename(beside, file)
        await syncDirectory()
        await close()
        handle = next
      })
    }
  })

  return {
    claim,
    size: attempt("read", async () => (await (await opened())?.stat())?.size ?? 0),
    read: (at, into) =>
      attempt("read", async () => {
        const from = await opened()
        let length = 0
        while (from !== undefined && length < into.length) {
          const { bytesRead } = await from.read(into, length, into.length - length, at + length)
          if (bytesRead === 0) break
          length += bytesRead
        }
        return length
      }),
    write: (at, bytes) =>
      attempt("write", async () => {
        await checkOwned()
        const to = await opened()
        const stat = await to?.stat()
        if (to === undefined || stat === undefined || stat.nlink === 0)
          throw refused("claim", "the file was removed or replaced")
        // What would be appended has nothing to follow.
        if (stat.size < at) throw refused("claim", "somebody else has cut the file off")
        if (stat.size > at) await to.truncate(at)
        await writeAll(to, at, bytes)
        await to.datasync()
      }),
    replacement,
    remove: attempt("remove", async () => {
      await checkOwned()
      await close()
      await fs.rm(file, { force: true })
      await syncDirectory()
    })
  }
})

/** The store of a directory, which is made when the first checkpoint is written. */
export const make = (directory: string): Effect.Effect<Service> =>
  Effect.map(load, (modules) => ({ open: (name) => openFile(modules, modules.path.resolve(directory), name) }))
