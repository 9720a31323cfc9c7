import type * as z from 'zod/mini';

/**
 * What a key is for, and what its zod schema cannot express: JSON Schema keywords that are added to zod's, or with `replaces`
 * stand instead of zod's.
 */
export type Description = {
  readonly description: string;
  readonly replaces?: true;
  readonly [keyword: string]: unknown;
};

/** Descriptions by path: `routes[].dst`; `{}` stands for any key of a map, `''` for the whole config. */
export type Descriptions = { readonly [path: string]: Description };

/**
 * What a plugin's `json-schema.ts` exports for the JSON Schema of its config: its own keys, which of them cannot be set for
 * one attachment, and a description of each.
 */
export type ConfigSchema = {
  readonly keys: z.core.$ZodLooseShape;
  readonly nodeKeys?: readonly string[];
  readonly descriptions: Descriptions;
};
