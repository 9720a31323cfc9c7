import * as z from 'zod/mini';
import { integer } from '../cni/schema.ts';

/** `rtm_protocol` of the routes that we add, unless the config says otherwise: which distinguishes them from others. */
export const DEFAULT_PROTOCOL = 87;

/** The config keys of every plugin that adds routes. Protocols below 5 are the kernel's and the administrator's. */
export const routePolicyKeys = {
  onConflict: z._default(z.enum(['fail', 'replace', 'keep']), 'fail'),
  protocol: z._default(integer(5, 255), DEFAULT_PROTOCOL),
  reconcile: z._default(z.enum(['update', 'heal', 'off']), 'update'),
};
