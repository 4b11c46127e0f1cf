//! Where operators, match arms and struct expressions of Rust files are, for scripts/mutate.
//!
//! Reads the paths of files from the arguments and prints a line for each place: what it is, the index of the file, then
//! lines and columns in characters, both from 1.
//!
//! `operators FROM TO`  an operator and all its operands, as far as operators bind them together
//! `negation FROM TO`   `!` or `-` and its operand
//! `chained FROM TO`    an operator that joins `let`, which only `&&` may
//! `arm FROM PATTERN_END`  of a `match` whose other arms take whatever this one leaves
//! `struct FROM TO`

use proc_macro2::{LineColumn, Span};
use syn::{
    BinOp, Expr, ExprBinary, ExprMatch, ExprStruct, ExprUnary, Pat, UnOp,
    spanned::Spanned,
    visit::{self, Visit},
};

struct Places {
    file: usize,
    /// Whether an operator binds what is visited to what is around it.
    bound: bool,
}

impl Places {
    fn tell(&self, what: &str, from: LineColumn, to: LineColumn) {
        println!("{what} {} {} {} {} {}", self.file, from.line, from.column + 1, to.line, to.column + 1);
    }

    fn tell_span(&self, what: &str, span: Span) {
        self.tell(what, span.start(), span.end());
    }

    fn operand(&mut self, operand: &Expr, bound: bool) {
        self.bound = bound && matches!(operand, Expr::Binary(_));
        self.visit_expr(operand);
        self.bound = false;
    }
}

/// Whether `let` is among the operands of `&&`.
fn joins_let(expr: &Expr) -> bool {
    match expr {
        Expr::Let(_) => true,
        Expr::Binary(ExprBinary { left, right, op: BinOp::And(_), .. }) => joins_let(left) || joins_let(right),
        _ => false,
    }
}

impl<'a> Visit<'a> for Places {
    fn visit_expr_binary(&mut self, binary: &'a ExprBinary) {
        let bound = std::mem::take(&mut self.bound);
        let chained = matches!(binary.op, BinOp::And(_)) && (joins_let(&binary.left) || joins_let(&binary.right));
        match (chained, bound) {
            (true, _) => self.tell_span("chained", binary.op.span()),
            (false, true) => {}
            (false, false) => self.tell_span("operators", binary.span()),
        }
        self.operand(&binary.left, !chained);
        self.operand(&binary.right, !chained);
    }

    fn visit_expr(&mut self, expr: &'a Expr) {
        // A cast binds more tightly than what it stands in, and its own operand more tightly still.
        self.bound &= matches!(expr, Expr::Binary(_));
        visit::visit_expr(self, expr);
    }

    fn visit_expr_unary(&mut self, unary: &'a ExprUnary) {
        if matches!(unary.op, UnOp::Not(_) | UnOp::Neg(_)) {
            self.tell_span("negation", unary.span());
        }
        visit::visit_expr_unary(self, unary);
    }

    fn visit_expr_match(&mut self, expr: &'a ExprMatch) {
        if expr.arms.iter().any(|arm| arm.guard.is_none() && matches!(arm.pat, Pat::Wild(_))) {
            expr.arms.iter().for_each(|arm| self.tell("arm", arm.span().start(), arm.pat.span().end()));
        }
        visit::visit_expr_match(self, expr);
    }

    fn visit_expr_struct(&mut self, expr: &'a ExprStruct) {
        self.tell_span("struct", expr.span());
        visit::visit_expr_struct(self, expr);
    }
}

fn main() {
    for (file, path) in std::env::args().skip(1).enumerate() {
        let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
        let parsed = syn::parse_file(&text).unwrap_or_else(|error| panic!("{path}: {error}"));
        Places { file, bound: false }.visit_file(&parsed);
    }
}
