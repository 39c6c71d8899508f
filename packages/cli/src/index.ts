/**
 * The `ktables` command as a value.
 *
 * @since 0.1.0
 */
export * as Ktables from "./Ktables.ts"
