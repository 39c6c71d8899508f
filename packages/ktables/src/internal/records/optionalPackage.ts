import { createRequire } from "node:module"
import * as path from "node:path"

/** Loads an installed package, and throws when it is not there or does not run on this machine. */
export type LoadPackage = (name: string) => unknown

/**
 * From where packages are looked for: this module, or the bundle that it became part of. A bundle in CommonJS has no
 * `import.meta.url`, and a program without files, such as one in a snapshot, has neither of the two.
 */
const here = (): string => {
  const url = (import.meta as { readonly url?: string }).url
  if (url !== undefined) return url
  return typeof __filename === "string" ? __filename : path.join(process.cwd(), "index.js")
}

let require: NodeJS.Require | undefined

/**
 * Synchronous, so that a package that nobody needs is never loaded and one that is needed costs no round of the event loop.
 * Nothing is done before the first package is asked for: not every runtime or bundle can look for any.
 */
export const loadPackage: LoadPackage = (name) => (require ??= createRequire(here()))(name)
