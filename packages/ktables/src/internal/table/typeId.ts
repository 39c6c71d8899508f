/** What marks a table. */
export const TypeId = "~effect-ktables/Table"
