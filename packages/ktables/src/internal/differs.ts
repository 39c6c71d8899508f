/** Two ids that are both known and not the same. */
export const differs = (a: string | undefined, b: string | undefined): boolean =>
  a !== undefined && b !== undefined && a !== b
