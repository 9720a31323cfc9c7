import * as z from 'zod/mini';
import { integer } from '../../lib/cni/schema.ts';

// The schema of `sourceRouting`.

/** Behind the rules of the config, which have 20000 unless they say otherwise, and before the main table's 32766. */
export const DEFAULT_SOURCE_PRIORITY = 30_000;

const UINT32_MAX = 0xffff_ffff;

const table = integer(1, UINT32_MAX).check((context) => {
  const kernels = { 253: 'default', 254: 'main', 255: 'local' }[context.value];
  if (kernels === undefined) return;
  const message = `is the kernel's table "${kernels}"; a table of its own is needed`;
  context.issues.push({ code: 'custom', message, input: context.value });
});

/** The schema of `sourceRouting`. */
export const sourceRoutingKey = z.pipe(
  z.union([z.boolean(), z.strictObject({ table: z.optional(table), priority: z.optional(integer(1, UINT32_MAX)) })]),
  z.transform((key) => {
    if (key === false) return undefined;
    const { table, priority = DEFAULT_SOURCE_PRIORITY } = key === true ? {} : key;
    return { table, priority };
  }),
);
