/** The page that says what would be done to the networks of a pod: `/explain/namespace/name`. */
export const EXPLAIN_PAGE = '/explain/';
