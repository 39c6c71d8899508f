/**
 * Directories that are made once per content and kept in the workspace's cache.
 */
import { createHash } from "node:crypto"
import { existsSync } from "node:fs"
import * as fs from "node:fs/promises"
import * as path from "node:path"
import { fileURLToPath } from "node:url"
import { Effect } from "effect"

const cache = fileURLToPath(new URL("../../../../node_modules/.cache/interop/", import.meta.url))

/** A file or directory of this package. */
export const packageFile = (name: string): string => fileURLToPath(new URL(`../../${name}`, import.meta.url))

/**
 * The directory that `fill` has filled for these ingredients. Each of several first callers fills a directory of its
 * own; the first one that is done wins.
 */
export const cachedDirectory = <E>(
  name: string,
  ingredients: ReadonlyArray<string | Uint8Array>,
  fill: (directory: string) => Effect.Effect<void, E>
): Effect.Effect<string, E> => {
  const hash = createHash("sha256")
  for (const ingredient of ingredients) hash.update(ingredient).update("\0")
  const kept = path.join(cache, `${name}-${hash.digest("hex").slice(0, 16)}`)
  if (existsSync(kept)) return Effect.succeed(kept)
  return Effect.acquireUseRelease(
    Effect.promise(async () => {
      await fs.mkdir(cache, { recursive: true })
      return fs.mkdtemp(path.join(cache, `.${name}-`))
    }),
    (temporary) =>
      fill(temporary).pipe(
        Effect.andThen(
          Effect.promise(() =>
            fs.rename(temporary, kept).catch((error: unknown) => {
              if (!existsSync(kept)) throw error
            })
          )
        ),
        Effect.as(kept)
      ),
    (temporary) => Effect.promise(() => fs.rm(temporary, { recursive: true, force: true }))
  )
}
