/** What becomes of an entry that a function of the user's throws for. */
import { DerivationFailed } from "../../TableError.ts"

export type OnError = "fail" | "skip"

/** In place of what a function gives: nothing comes of the entry. */
export const absent: unique symbol = Symbol("absent")
export type Absent = typeof absent

/** Leaves the entry of a key out, or throws what the table fails with. */
export type Refuse = (key: unknown, cause: unknown) => Absent

export const refusal =
  (table: string, onError: OnError | undefined): Refuse =>
  (key, cause) => {
    if (onError === "skip") return absent
    throw new DerivationFailed({ table, key: printed(key), cause })
  }

const printed = (key: unknown): string => {
  try {
    return typeof key === "string" || typeof key === "object" ? JSON.stringify(key) : String(key)
  } catch {
    return "one that cannot be printed"
  }
}
