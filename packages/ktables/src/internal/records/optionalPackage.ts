import { createRequire } from "node:module"

/** Loads an installed package, and throws when it is not there or does not run on this machine. */
export type LoadPackage = (name: string) => unknown

/** Synchronous, so that a package that nobody needs is never loaded and one that is needed costs no round of the event loop. */
export const loadPackage: LoadPackage = createRequire(import.meta.url)
