/** How long a reader may keep the event loop, in milliseconds, and how often it looks at the clock. */

/** Where others have a table to read meanwhile. */
export const SLICE = 4
/** While survivors are gathered. */
export const LOAD_SLICE = 8
/** Records between two looks at the clock. */
export const STRIDE = 64
