// Places of rows in a KV cache, as kv_pages.h defines them. `params` has capacity, the rows that a
// sequence can have, and head_rows, the rows of a head of the cache. With `pages` the including
// shader defines page_at(i), entry i of the page table.
//
// A row is found in two steps, because rows of one page share the first: page_begin(b, t) looks its
// page up, and row_in_page returns its index in a head. Rows past the capacity are at rows that
// exist.

const kPageRows = 64u;

#if pages
fn head_begin(b: u32, head: u32, heads: u32) -> u32 { return head * params.head_rows; }

fn page_begin(b: u32, t: u32) -> u32 {
  let entries = params.capacity / kPageRows;
  return page_at(b * entries + min(t / kPageRows, entries - 1u)) * kPageRows;
}

fn row_in_page(begin: u32, t: u32) -> u32 { return begin + t % kPageRows; }
#else
fn head_begin(b: u32, head: u32, heads: u32) -> u32 {
  return (b * heads + head) * params.head_rows;
}

fn page_begin(b: u32, t: u32) -> u32 { return 0u; }

fn row_in_page(begin: u32, t: u32) -> u32 { return min(t, params.capacity - 1u); }
#endif

fn cache_row(b: u32, t: u32) -> u32 { return row_in_page(page_begin(b, t), t); }
