import type * as z from 'zod/mini';

/**
 * What a key is for, and what its zod schema cannot say of itself: JSON Schema that is laid over what zod gives. `replaces`
 * says that zod's is left out.
 */
export type Description = {
  readonly description: string;
  readonly replaces?: true;
  readonly [keyword: string]: unknown;
};

/** Descriptions by path: `routes[].dst`; `{}` stands for any key of a map, `''` for the whole. */
export type Descriptions = { readonly [path: string]: Description };

/**
 * What a plugin's `json-schema.ts` exports, for the JSON Schema of its config: the keys of its own, those of them that cannot
 * be set for one attachment, and a description of each.
 */
export type ConfigSchema = {
  readonly keys: z.core.$ZodLooseShape;
  readonly nodeKeys?: readonly string[];
  readonly descriptions: Descriptions;
};
