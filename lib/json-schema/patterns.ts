// What texts look like, as JSON Schema: never narrower than what the plugins take.

const OCTET = '(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])';

export const IPV4 = `${OCTET}(\\.${OCTET}){3}`;

/** Every IPv6 address is of this form; not every text of this form is one. */
export const IPV6 = '(?=[^:]*:[^:]*:)(?!.*:::)(?!.*::.*::)[0-9A-Fa-f:]+(:[0-9]{1,3}(\\.[0-9]{1,3}){3})?';

export const PREFIX = `${IPV4}/([12]?[0-9]|3[0-2])|${IPV6}/([1-9]?[0-9]|1[01][0-9]|12[0-8])`;

// `patternErrorMessage` and `errorMessage` are what editors show in the place of a pattern (vscode-json-languageservice).

export const address = {
  pattern: `^(${IPV4}|${IPV6})$`,
  patternErrorMessage: 'An IPv4 or IPv6 address is needed, such as 10.1.1.1 or fd00::1.',
};

export const addressOrAuto = {
  pattern: `^(auto|${IPV4}|${IPV6})$`,
  patternErrorMessage: 'An IPv4 or IPv6 address is needed, such as 10.1.1.1 or fd00::1, or auto.',
};

export const destination = {
  pattern: `^(default|${PREFIX})$`,
  patternErrorMessage: 'A destination is needed, such as 10.10.0.0/16, 2001:db8::/32 or default.',
};

/** The keys of a map by subnet. */
export const subnets = {
  pattern: `^(${PREFIX})$`,
  patternErrorMessage: 'A subnet is needed, such as 10.10.0.0/16 or 2001:db8::/32.',
};

/** Neither 0.0.0.0 nor ::, in whatever spelling. */
export const specified = {
  allOf: [{ not: { pattern: '^(0\\.0\\.0\\.0|[0:]+)$' }, errorMessage: '0.0.0.0 and :: stand for no address.' }],
};

export const interfaceName = {
  pattern: '^(?!\\.{1,2}$)[^/:\\s\\u0000]+$',
  maxLength: 15,
  patternErrorMessage: 'The name of an interface is needed, without "/", ":" and white space.',
};

export const absolutePath = {
  pattern: '^(?!.*(^|/)\\.\\.(/|$))/[^\\u0000]*$',
  patternErrorMessage: 'An absolute path without ".." is needed.',
};

/** A network's name, by the rule of libcni (lib/cni/names.ts). */
export const networkName = {
  pattern: '^[a-zA-Z0-9][a-zA-Z0-9_.-]*$',
  maxLength: 220,
  patternErrorMessage: 'A name holds letters, digits, "_", "." and "-", and starts with a letter or digit.',
};
