// The forms of strings, as JSON Schema: never narrower than what the plugins accept.

const OCTET = '(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])';

export const IPV4 = `${OCTET}(\\.${OCTET}){3}`;

/** Every IPv6 address has this form; not every string of this form is one. */
export const IPV6 = '(?=[^:]*:[^:]*:)(?!.*:::)(?!.*::.*::)[0-9A-Fa-f:]+(:[0-9]{1,3}(\\.[0-9]{1,3}){3})?';

export const PREFIX = `${IPV4}/([12]?[0-9]|3[0-2])|${IPV6}/([1-9]?[0-9]|1[01][0-9]|12[0-8])`;

// Editors show `patternErrorMessage` and `errorMessage` instead of a pattern (vscode-json-languageservice).

export const address = {
  pattern: `^(${IPV4}|${IPV6})$`,
  patternErrorMessage: 'Must be an IPv4 or IPv6 address, such as 10.1.1.1 or fd00::1.',
};

export const addressOrAuto = {
  pattern: `^(auto|${IPV4}|${IPV6})$`,
  patternErrorMessage: 'Must be an IPv4 or IPv6 address, such as 10.1.1.1 or fd00::1, or auto.',
};

export const destination = {
  pattern: `^(default|${PREFIX})$`,
  patternErrorMessage: 'Must be a destination, such as 10.10.0.0/16, 2001:db8::/32 or default.',
};

/** The keys of a map by subnet. */
export const subnets = {
  pattern: `^(${PREFIX})$`,
  patternErrorMessage: 'Must be a subnet, such as 10.10.0.0/16 or 2001:db8::/32.',
};

/** Neither 0.0.0.0 nor ::, however it is spelled. */
export const specified = {
  allOf: [
    { not: { pattern: '^(0\\.0\\.0\\.0|[0:]+)$' }, errorMessage: 'Must not be 0.0.0.0 or ::, which mean no address.' },
  ],
};

export const interfaceName = {
  pattern: '^(?!\\.{1,2}$)[^/:\\s\\u0000]+$',
  maxLength: 15,
  patternErrorMessage: 'Must be an interface name, without "/", ":" and white space.',
};

export const absolutePath = {
  pattern: '^(?!.*(^|/)\\.\\.(/|$))/[^\\u0000]*$',
  patternErrorMessage: 'Must be an absolute path without "..".',
};

/** A network's name, by the rule of libcni (lib/cni/names.ts). */
export const networkName = {
  pattern: '^[a-zA-Z0-9][a-zA-Z0-9_.-]*$',
  maxLength: 220,
  patternErrorMessage: 'Must consist of letters, digits, "_", "." and "-", and start with a letter or digit.',
};
