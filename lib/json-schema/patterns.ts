// What texts look like, as JSON Schema: never narrower than what the plugins take.

const OCTET = '(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])';

export const IPV4 = `${OCTET}(\\.${OCTET}){3}`;

/** Every IPv6 address is of this form; not every text of this form is one. */
export const IPV6 = '(?=[^:]*:[^:]*:)(?!.*:::)(?!.*::.*::)[0-9A-Fa-f:]+(:[0-9]{1,3}(\\.[0-9]{1,3}){3})?';

export const PREFIX = `${IPV4}/([12]?[0-9]|3[0-2])|${IPV6}/([1-9]?[0-9]|1[01][0-9]|12[0-8])`;

export const address = { pattern: `^(${IPV4}|${IPV6})$` };

export const addressOrAuto = { pattern: `^(auto|${IPV4}|${IPV6})$` };

export const destination = { pattern: `^(default|${PREFIX})$` };

/** Neither 0.0.0.0 nor ::, in whatever spelling. */
export const specified = { not: { pattern: '^(0\\.0\\.0\\.0|[0:]+)$' } };

export const interfaceName = { pattern: '^(?!\\.{1,2}$)[^/:\\s\\u0000]+$', maxLength: 15 };

export const absolutePath = { pattern: '^(?!.*(^|/)\\.\\.(/|$))/[^\\u0000]*$' };

/** A network's name, by the rule of libcni (lib/cni/names.ts). */
export const networkName = { pattern: '^[a-zA-Z0-9][a-zA-Z0-9_.-]*$', maxLength: 220 };
